// Known answers: FIPS 180-4, BLAKE3's test_vectors.json, RFC 5869, RFC 8032, the GCM specification's test cases; and what must fail does.
#include <core/crypto/blake3.hpp>
#include <core/crypto/crypto.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

using namespace cess;
using namespace cess::crypto;

namespace {

bytes hex(std::string_view text) { return from_hex(text).value(); }

struct signature_vector {
    const char* seed;
    const char* pub;
    const char* message;
    const char* sig;
};
// RFC 8032, 7.1: tests 1, 2, 3.
constexpr signature_vector ed25519[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

// The first 32 bytes of `derive_key` in BLAKE3's test_vectors.json; the input is 0, 1 ... 250, 0, 1 ...
struct blake3_vector {
    std::size_t length;
    const char* derive_key;
};
constexpr blake3_vector blake3_vectors[] = {
    {0, "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"},
    {1, "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c"},
    {1023, "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5"},
    {1024, "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706"},
    {1025, "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb"},
    {8193, "af1e0346e389b17c23200270a64aa4e1ead98c61695d917de7d5b00491c9b0f1"},
    {31744, "39772aef80e0ebe60596361e45b061e8f417429d529171b6764468c22928e28e"},
    {102400, "4652cff7a3f385a6103b5c260fc1593e13c778dbe608efb092fe7ee69df6e9c6"},
};

}  // namespace

TEST_CASE("BLAKE3 derives the keys of its authors' test vectors, in one piece and in many, in each thread") {
    bytes input(102400);
    for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<std::byte>(i % 251);
    const blake3_context context("BLAKE3 2019-12-27 16:29:52 test vectors context");
    for (const auto& v : blake3_vectors) {
        const auto data = byte_view(input).first(v.length);
        CHECK(context.hash(data).hex() == v.derive_key);
        const auto third = v.length / 3;
        CHECK(context.hash({data.first(third), {}, data.subspan(third)}).hex() == v.derive_key);
    }
    CHECK(context.hash(input) != blake3_context("another").hash(input));
    std::vector<std::thread> threads;
    std::atomic<int> right = 0;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { right += context.hash(input).hex() == std::rbegin(blake3_vectors)->derive_key ? 1 : 0; });
    for (auto& thread : threads) thread.join();
    CHECK(right == 4);
}

TEST_CASE("SHA-256 gives the standard's digests, in one piece and in many") {
    CHECK(sha256(as_view("abc")).hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256(byte_view{}).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256({as_view("a"), as_view(""), as_view("bc")}) == sha256(as_view("abc")));
    sha256_stream stream;
    for (int round = 0; round < 2; ++round) {  // finish() resets
        stream.update(as_view("ab"));
        stream.update(as_view("c"));
        CHECK(stream.finish() == sha256(as_view("abc")));
    }
}

TEST_CASE("HKDF gives RFC 5869's keys") {
    // Test case 1 has a key of 22 bytes; extraction and expansion are checked through HMAC with the RFC's PRK.
    const auto prk = hmac_sha256(hex("000102030405060708090a0b0c"), hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"));
    CHECK(to_hex(prk) == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    const auto okm = hmac_sha256(prk, hex("f0f1f2f3f4f5f6f7f8f901"));
    CHECK(to_hex(okm) == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    // hkdf() is those two steps.
    const secret_key key(hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
    const auto extracted = hmac_sha256(as_view("salt"), key.view());
    auto info = to_bytes("info");
    info.push_back(std::byte{1});
    CHECK(hkdf(key, as_view("salt"), "info") == secret_key(hmac_sha256(extracted, info)));
    CHECK_FALSE(hkdf(key, as_view("salt"), "info") == hkdf(key, as_view("salt"), "other"));
    CHECK_FALSE(hkdf(key, as_view("salt"), "info") == hkdf(key, {}, "info"));
}

TEST_CASE("AES-256-GCM gives the specification's ciphertexts and refuses what was changed") {
    // Test case 16.
    const secret_key key(hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
    aead_nonce nonce;
    const auto iv = hex("cafebabefacedbaddecaf888");
    std::copy(iv.begin(), iv.end(), nonce.raw.begin());
    const auto plain = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    const auto additional = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    aead cipher(key);
    bytes sealed(plain.size() + aead_tag_size);
    cipher.seal(nonce, additional, plain, sealed);
    CHECK(to_hex(sealed) ==
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
          "76fc6ece0f4e1768cddf8853bb2d551b");
    bytes opened(plain.size());
    REQUIRE(cipher.open(nonce, additional, sealed, opened));
    CHECK(opened == plain);
    for (std::size_t i = 0; i < sealed.size(); i += 7) {
        auto bad = sealed;
        bad[i] ^= std::byte{1};
        CHECK(cipher.open(nonce, additional, bad, opened).error() == errc::corrupt);
        CHECK(std::all_of(opened.begin(), opened.end(), [](std::byte b) { return b == std::byte{0}; }));
    }
    CHECK(cipher.open(nonce, {}, sealed, opened).error() == errc::corrupt);
    CHECK(cipher.open(aead_nonce::from_index(1), additional, sealed, opened).error() == errc::corrupt);
    CHECK(cipher.open(nonce, additional, sealed, opened));  // a failure leaves the cipher usable
    // Nothing at all is sealed too.
    bytes empty(aead_tag_size);
    cipher.seal(nonce, {}, {}, empty);
    CHECK(cipher.open(nonce, {}, empty, {}));
}

TEST_CASE("a wrapped key opens only with its key and its context") {
    seeded_random random(1);
    const auto with = secret_key::generate(random);
    const auto box = wrap(with, as_view("context"), as_view("secret"), random);
    CHECK(unwrap(with, as_view("context"), box).value() == to_bytes("secret"));
    CHECK(unwrap(with, as_view("other"), box).error() == errc::corrupt);
    CHECK(unwrap(secret_key::generate(random), as_view("context"), box).error() == errc::corrupt);
    CHECK(unwrap(with, as_view("context"), byte_view(box).first(20)).error() == errc::corrupt);
    CHECK_FALSE(wrap(with, {}, as_view("secret"), random) == wrap(with, {}, as_view("secret"), random));
}

TEST_CASE("Ed25519 gives RFC 8032's signatures") {
    for (const auto& v : ed25519) {
        const signing_key key{secret_key(hex(v.seed))};
        const auto message = hex(v.message);
        CHECK(key.pub().hex() == v.pub);
        auto sig = key.sign(message);
        CHECK(sig.hex() == v.sig);
        CHECK(verify(key.pub(), message, sig));
        sig.raw[10] ^= std::byte{1};
        CHECK_FALSE(verify(key.pub(), message, sig));
    }
    CHECK_FALSE(verify(public_key::from(bytes(32, std::byte{0xff})), as_view("x"), signature{}));
}

TEST_CASE("nobody signs as a key of small order") {
    // Of y = 0 (order 4) and the signature of 64 zero bytes the equation of RFC 8032 holds for every fourth message.
    for (const char* y : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                          "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"})
        for (const auto sign : {std::byte{0}, std::byte{0x80}}) {
            auto raw = hex(y);
            raw.back() |= sign;
            const auto key = public_key::from(raw);
            CHECK(small_order(key));
            for (int i = 0; i < 64; ++i) {
                const auto message = to_bytes(std::to_string(i));
                auto identity = signature{};  // R = the neutral point, S = 0
                identity.raw[0] = std::byte{1};
                CHECK_FALSE(verify(key, message, signature{}));
                CHECK_FALSE(verify(key, message, identity));
            }
        }
    for (const auto& v : ed25519) CHECK_FALSE(small_order(public_key::parse(v.pub).value()));
}
