// The account: one key in one file (core/keys/key_file.hpp has its form), and everything that follows from it.
#pragma once

#include <chain/client/client.hpp>

#include <string>

namespace cess::client {

[[nodiscard]] chain::account account_of(const crypto::signing_key& key);
// errc::permission if others may read the file, errc::not_found with what to do if there is none.
[[nodiscard]] result<chain::account> load_account(const std::string& path);

// What an account shows to S3 tools. Derived, never stored: access = "CESS" + base32 of the first 10 bytes of the id,
// secret = base64 of hkdf(wrapping key, "", "cess s3 secret v1").
struct s3_key {
    std::string access;
    std::string secret;
};
[[nodiscard]] s3_key s3_key_of(const chain::account& who);

}  // namespace cess::client
