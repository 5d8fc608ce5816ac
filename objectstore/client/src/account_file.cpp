#include <core/keys/key_file.hpp>
#include <objectstore/client/account_file.hpp>

namespace cess::client {
namespace {

constexpr std::size_t access_id_bytes = 10;  // 16 letters

// The bits of `data` in groups of `width`, the last filled up with zeros, as letters of the alphabet.
std::string to_letters(byte_view data, unsigned width, std::string_view alphabet) {
    std::string out;
    unsigned held = 0, bits = 0;
    for (const auto b : data) {
        held = (held << 8 | std::to_integer<unsigned>(b)) & 0xffff;
        for (bits += 8; bits >= width; bits -= width) out += alphabet[held >> (bits - width) & ((1U << width) - 1)];
    }
    if (bits > 0) out += alphabet[held << (width - bits) & ((1U << width) - 1)];
    return out;
}

std::string base32(byte_view data) { return to_letters(data, 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"); }
std::string base64(byte_view data) {
    auto out = to_letters(data, 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    while (out.size() % 4 != 0) out += '=';
    return out;
}

}  // namespace

chain::account account_of(const crypto::signing_key& key) { return chain::account{key, crypto::hkdf(key.seed(), {}, "cess volume key wrapping v1")}; }

result<chain::account> load_account(const std::string& path) {
    auto key = keys::read(os::posix_file_system(), path, keys::account_kind);
    if (key) return account_of(*key);
    auto why = std::move(key).error();
    if (why.code == errc::not_found) return error(errc::not_found, "account key " + path + "; bring it back with `cess account import`");
    return why;
}

s3_key s3_key_of(const chain::account& who) {
    const auto id = who.id();
    s3_key out;
    out.access = "CESS" + base32(id.view().first(access_id_bytes));
    out.secret = base64(crypto::hkdf(who.wrapping, {}, "cess s3 secret v1").view());
    return out;
}

}  // namespace cess::client
