// The file's hash: the answers of FIPS 180-4's examples, and what this processor has for it against the scalar rounds.
#include <string>

#include "check.h"
#include "sha256.h"

using namespace reactnet;

namespace {

std::string digest(Sha256Blocks blocks, const std::uint8_t* data, std::size_t size) {
  Sha256 hash(blocks);
  hash.update(data, size);
  return hash.hex_digest();
}

std::string digest_in_pieces(Sha256Blocks blocks, Random& random, const std::uint8_t* data, std::size_t size) {
  Sha256 hash(blocks);
  while (size > 0) {
    const auto piece = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(size < 150 ? size : 150) + 1));
    hash.update(data, piece);
    data += piece;
    size -= piece;
  }
  return hash.hex_digest();
}

void check_examples(Tally& tally, Sha256Blocks blocks, const std::string& name) {
  const std::string a_million(1000000, 'a');
  const struct {
    const char* text;
    std::size_t size;
    const char* digest;
  } kExamples[] = {
      {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {a_million.data(), a_million.size(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const auto& example : kExamples) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(example.text);
    tally.expect(digest(blocks, bytes, example.size) == example.digest,
                 name + ": example of " + std::to_string(example.size) + " bytes");
  }
}

// Every length about the ends of blocks, at the end and at the beginning of a page, whole and in pieces.
void check_lengths(Tally& tally, Sha256Blocks blocks, const std::string& name) {
  Random random(20);
  for (std::size_t size = 0; size < 520; ++size) {
    Guarded<std::uint8_t> data(size, random.guard());
    random.fill_integers(data);
    const std::string right = digest(sha256_scalar, data.data(), size);
    tally.expect(digest(blocks, data.data(), size) == right, name + ": " + std::to_string(size) + " bytes");
    tally.expect(digest_in_pieces(blocks, random, data.data(), size) == right,
                 name + ": " + std::to_string(size) + " bytes in pieces");
  }
}

}  // namespace

void check_sha256(Tally& tally) {
  check_examples(tally, sha256_scalar, "sha256_scalar");
  check_lengths(tally, sha256_scalar, "sha256_scalar");
  if (best_sha256() == sha256_scalar) {
    tally.skip("SHA-256 by the processor's own instructions: it has none");
    return;
  }
  check_examples(tally, best_sha256(), "the processor's sha256");
  check_lengths(tally, best_sha256(), "the processor's sha256");
}
