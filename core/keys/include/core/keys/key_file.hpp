// Secret keys in files: one line, "KIND <64 hexadecimal digits>", readable by its owner only.
#pragma once

#include <core/crypto/crypto.hpp>
#include <core/os/file_system.hpp>

namespace cess::keys {

inline constexpr std::string_view node_kind = "cess-node-v1";
inline constexpr std::string_view account_kind = "cess-account-v1";
inline constexpr std::string_view coin_kind = "cess-coin-v1";  // a committee member's share of its coin's secret

[[nodiscard]] std::string to_line(std::string_view kind, const crypto::secret_key& seed);
// errc::invalid says which kind was expected; never echoes what the text holds.
[[nodiscard]] result<crypto::secret_key> parse_line(std::string_view text, std::string_view kind);

// Refuses a file that others may read (errc::permission).
[[nodiscard]] result<crypto::secret_key> read_secret(os::file_system& on, const std::string& path, std::string_view kind);
[[nodiscard]] result<crypto::signing_key> read(os::file_system& on, const std::string& path, std::string_view kind);
[[nodiscard]] result<void> write(os::file_system& on, const std::string& path, std::string_view kind, const crypto::secret_key& seed);
// The key in `path`, made and stored durably if there is none.
[[nodiscard]] result<crypto::signing_key> read_or_make(os::file_system& on, const std::string& path, std::string_view kind, random_source& random);

}  // namespace cess::keys
