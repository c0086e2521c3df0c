// Byte order and the reader of variable-length values.  The reader meets bytes from disks: it must never read
// past its end.  Inputs therefore stand directly before an inaccessible page.

#include "base/endian.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/rng.h"
#include "tests/unit/base/guarded_bytes.h"

namespace stavefs {
namespace {

using test::GuardedBytes;

template <class A, class B>
constexpr bool mixes = std::is_convertible_v<A, B> || std::is_assignable_v<A&, B>;
static_assert(!mixes<Row, GroupId> && !mixes<GroupId, InodeId> && !mixes<uint64_t, Lsn> &&
              !mixes<Lsn, uint64_t>);

GuardedBytes guarded(std::string_view bytes) {
  GuardedBytes copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

TEST(LittleEndian, HasGoldenBytesAndNoPadding) {
  struct Fields {
    uint8_t a = 0x01;
    Le16 b = 0x0302;
    Le32 c = 0x07060504;
    Le64 d = 0x0f0e0d0c0b0a0908;
  };
  static_assert(sizeof(Fields) == 15 && alignof(Fields) == 1);
  const Fields fields;
  EXPECT_EQ(bytes_of(fields), "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
  EXPECT_EQ(fields.b, 0x0302);
  EXPECT_EQ(fields.c, 0x07060504u);
  EXPECT_EQ(fields.d, 0x0f0e0d0c0b0a0908u);
}

TEST(BigEndian, KeyOrderIsNumericOrder) {
  Rng rng(11);
  std::vector<uint64_t> numbers = {0, 1, 0xff, 0x100, 0xffff, 0x10000, 0xffffffff, 0x100000000, ~uint64_t{0}};
  for (int i = 0; i < 500; ++i) numbers.push_back(rng.next() >> rng.below(64));
  for (const uint64_t a : numbers) {
    for (const uint64_t b : numbers) {
      std::string ka, kb;
      append_be64(ka, a);
      append_be64(kb, b);
      ASSERT_EQ(a < b, ka < kb) << a << " " << b;
    }
  }
}

TEST(BigEndian, LoadsWhatItAppends) {
  std::string key;
  append_be16(key, 0x0102);
  append_be32(key, 0x03040506);
  append_be64(key, 0x0708090a0b0c0d0e);
  EXPECT_EQ(key, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e");
  EXPECT_EQ(load_be16(key.data()), 0x0102);
  EXPECT_EQ(load_be32(key.data() + 2), 0x03040506u);
  EXPECT_EQ(load_be64(key.data() + 6), 0x0708090a0b0c0d0eu);
}

TEST(ByteWriter, HasGoldenBytes) {
  std::string out;
  ByteWriter writer(out);
  writer.u8(1);
  writer.u16(0x0203);
  writer.u32(0x04050607);
  writer.u64(0x08090a0b0c0d0e0f);
  writer.varint(0x7f);
  writer.varint(0x80);
  writer.varint(300);
  writer.string("hi");
  writer.bytes("!");
  EXPECT_EQ(out, std::string_view("\x01\x03\x02\x07\x06\x05\x04\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08"
                                  "\x7f\x80\x01\xac\x02\x02hi!",
                                  24));
}

TEST(ByteReader, VarintKeepsEveryWidthAndRejectsMoreThan64Bits) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const uint64_t v : {uint64_t{1} << shift, (uint64_t{1} << shift) - 1, ~uint64_t{0} >> shift}) {
      std::string out;
      ByteWriter(out).varint(v);
      ByteReader reader(out);
      EXPECT_EQ(reader.varint(), v);
      EXPECT_TRUE(reader.finished());
    }
  }
  const std::string nine(9, '\xff');
  EXPECT_TRUE([&] {
    ByteReader r(nine);
    return r.varint() == 0 && !r.ok();
  }()) << "unfinished";
  const std::string largest = nine + '\x01', too_large = nine + '\x02', eleven = nine + "\x81\x01";
  ByteReader good(largest), bad(too_large), longer(eleven);
  EXPECT_EQ(good.varint(), ~uint64_t{0});
  EXPECT_TRUE(good.finished());
  EXPECT_EQ(bad.varint(), 0u);
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(longer.varint(), 0u);
  EXPECT_FALSE(longer.ok());
}

TEST(ByteReader, StringLengthBeyondTheEndYieldsNothing) {
  for (const uint64_t length : {uint64_t{3}, uint64_t{1} << 32, ~uint64_t{0}}) {
    std::string out;
    ByteWriter(out).varint(length);
    out += "ab";
    const GuardedBytes in = guarded(out);
    ByteReader reader(in.text());
    EXPECT_EQ(reader.string(), "");
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.u8(), 0) << "a failed reader must stay failed";
    EXPECT_FALSE(reader.finished());
  }
}

/// One field of a random record.
struct Field {
  int kind;
  uint64_t number;
  std::string text;
};

std::vector<Field> random_fields(Rng& rng) {
  std::vector<Field> fields(rng.below(12));
  for (Field& f : fields) {
    f.kind = static_cast<int>(rng.below(6));
    f.number = rng.next() >> rng.below(64);
    f.text.resize(rng.below(40));
    for (char& c : f.text) c = static_cast<char>(rng.next());
  }
  return fields;
}

void write_fields(ByteWriter writer, const std::vector<Field>& fields) {
  for (const Field& f : fields) {
    switch (f.kind) {
      case 0: writer.u8(static_cast<uint8_t>(f.number)); break;
      case 1: writer.u16(static_cast<uint16_t>(f.number)); break;
      case 2: writer.u32(static_cast<uint32_t>(f.number)); break;
      case 3: writer.u64(f.number); break;
      case 4: writer.varint(f.number); break;
      default: writer.string(f.text); break;
    }
  }
}

/// True when every field reads back as it was written.
bool read_fields(ByteReader& reader, const std::vector<Field>& fields) {
  bool same = true;
  for (const Field& f : fields) {
    switch (f.kind) {
      case 0: same &= reader.u8() == static_cast<uint8_t>(f.number); break;
      case 1: same &= reader.u16() == static_cast<uint16_t>(f.number); break;
      case 2: same &= reader.u32() == static_cast<uint32_t>(f.number); break;
      case 3: same &= reader.u64() == f.number; break;
      case 4: same &= reader.varint() == f.number; break;
      default: same &= reader.string() == f.text; break;
    }
  }
  return same;
}

TEST(ByteReader, ReadsBackRecordsAndNoticesEveryTruncation) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const std::vector<Field> fields = random_fields(rng);
    std::string out;
    write_fields(ByteWriter(out), fields);
    const GuardedBytes whole = guarded(out);
    ByteReader reader(whole.text());
    ASSERT_TRUE(read_fields(reader, fields));
    ASSERT_TRUE(reader.finished());
    for (size_t cut = 0; cut < out.size(); ++cut) {
      const GuardedBytes part = guarded(std::string_view(out).substr(0, cut));
      ByteReader short_reader(part.text());
      read_fields(short_reader, fields);
      ASSERT_FALSE(short_reader.ok()) << "cut at " << cut;
    }
  }
}

TEST(ByteReader, NeverReadsPastTheEndOfGarbage) {
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    GuardedBytes in(rng.below(48));
    for (uint8_t& b : in.span()) b = static_cast<uint8_t>(rng.next());
    ByteReader reader(in.text());
    size_t left = reader.remaining();
    bool was_ok = true;
    for (int i = 0; i < 40; ++i) {
      std::string_view view;
      switch (rng.below(7)) {
        case 0: reader.u8(); break;
        case 1: reader.u16(); break;
        case 2: reader.u32(); break;
        case 3: reader.u64(); break;
        case 4: reader.varint(); break;
        case 5: view = reader.string(); break;
        default: view = reader.bytes(rng.next() >> rng.below(64)); break;
      }
      ASSERT_LE(reader.remaining(), left);
      ASSERT_TRUE(was_ok || !reader.ok()) << "a failed reader recovered";
      if (!view.empty()) {
        ASSERT_GE(view.data(), in.text().data());
        ASSERT_LE(view.data() + view.size(), in.text().data() + in.size());
      }
      left = reader.remaining();
      was_ok = reader.ok();
    }
  }
}

}  // namespace
}  // namespace stavefs
