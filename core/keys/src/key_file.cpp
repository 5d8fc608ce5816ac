#include <core/keys/key_file.hpp>

#include <cerrno>

#include <sys/stat.h>

namespace cess::keys {
namespace {

constexpr std::uint64_t key_file_size_max = 4096;

result<void> check_private(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0) return errno_error("key " + path, errno);
    if ((found.st_mode & 077) == 0) return {};
    return error(errc::permission, "key " + path + " can be read by others; chmod 600 it");
}

}  // namespace

std::string to_line(std::string_view kind, const crypto::secret_key& seed) {
    return std::string(kind) + " " + to_hex(seed.view()) + "\n";
}

result<crypto::secret_key> parse_line(std::string_view text, std::string_view kind) {
    const auto wrong = error(errc::invalid, "expected one line, \"" + std::string(kind) + " <64 hexadecimal digits>\"");
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
    if (!text.starts_with(kind)) return wrong;
    text.remove_prefix(kind.size());
    if (!text.starts_with(' ')) return wrong;
    const auto seed = from_hex(text.substr(1));
    if (!seed || seed->size() != crypto::secret_key::size) return wrong;
    return crypto::secret_key(*seed);
}

result<crypto::secret_key> read_secret(os::file_system& on, const std::string& path, std::string_view kind) {
    CHECK_OK(check_private(path));
    TRY(const auto text, os::read_file(on, path, key_file_size_max));
    auto secret = parse_line(as_text(text), kind);
    if (!secret) return std::move(secret).error().with_context("key " + path);
    return secret;
}

result<crypto::signing_key> read(os::file_system& on, const std::string& path, std::string_view kind) {
    TRY(const auto seed, read_secret(on, path, kind));
    return crypto::signing_key(seed);
}

result<void> write(os::file_system& on, const std::string& path, std::string_view kind, const crypto::secret_key& seed) {
    return os::write_file_durably(on, path, as_view(to_line(kind, seed)));
}

result<crypto::signing_key> read_or_make(os::file_system& on, const std::string& path, std::string_view kind, random_source& random) {
    if (on.exists(path)) return read(on, path, kind);
    const auto seed = crypto::secret_key::generate(random);
    CHECK_OK(write(on, path, kind, seed));
    return crypto::signing_key(seed);
}

}  // namespace cess::keys
