#include "context.hpp"

#include <core/keys/key_file.hpp>
#include <objectstore/client/account_file.hpp>

#include <cstdio>
#include <iostream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cess::cli {
namespace {

struct arguments {
    std::string file;
};

constexpr std::size_t key_text_max = 4096;

result<int> export_key(context& c, const arguments& a) {
    TRY(const auto with, c.configuration());
    auto& disk = os::posix_file_system();
    TRY(const auto key, keys::read(disk, with.account_file, keys::account_kind));
    const auto line = keys::to_line(keys::account_kind, key.seed());
    if (a.file.empty() || a.file == "-") {
        std::fputs(line.c_str(), stdout);
        return 0;
    }
    if (disk.exists(a.file)) return error(errc::exists, a.file + " is there; choose another name");
    CHECK_OK(keys::write(disk, a.file, keys::account_kind, key.seed()));
    std::fprintf(stderr, "account %s exported to %s; whoever has this file can read and change all its volumes\n",
                 crypto::id_of<account_id>(key.pub()).brief().c_str(), a.file.c_str());
    return 0;
}

// Any file a person names may be read, also one that others can read: what counts is how it is kept from now on.
result<std::string> read_key_text(const std::string& file) {
    std::FILE* in = file == "-" ? stdin : std::fopen(file.c_str(), "r");
    if (!in) return errno_error(file, errno);
    std::string text(key_text_max, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), in));
    const bool failed = std::ferror(in) != 0;
    if (in != stdin) std::fclose(in);
    if (failed) return error(errc::io, file);
    return text;
}

result<int> import_key(context& c, const arguments& a) {
    TRY(const auto with, c.configuration());
    TRY(const auto text, read_key_text(a.file));
    auto seed = keys::parse_line(text, keys::account_kind);
    if (!seed) return std::move(seed).error().with_context(a.file);
    const crypto::signing_key given(*seed);
    auto& disk = os::posix_file_system();
    const auto id = crypto::id_of<account_id>(given.pub()).brief();
    if (disk.exists(with.account_file)) {
        TRY(const auto present, keys::read(disk, with.account_file, keys::account_kind));
        if (present.pub() != given.pub())
            return error(errc::exists, with.account_file + " holds another account's key; move it away first");
        print("account " + id + " is the one in use already");
        return 0;
    }
    CHECK_OK(keys::write(disk, with.account_file, keys::account_kind, *seed));
    print("account " + id + " imported to " + with.account_file);
    return 0;
}

// In the form that a shell exports: export $(cess account s3-key)
result<int> show_s3_key(context& c) {
    TRY(const auto with, c.configuration());
    TRY(const auto who, client::load_account(with.account_file));
    const auto key = client::s3_key_of(who);
    if (c.json) {
        nlohmann::json out;
        out["access_key"] = key.access;
        out["secret_key"] = key.secret;
        print_json(out);
    } else {
        print("AWS_ACCESS_KEY_ID=" + key.access);
        print("AWS_SECRET_ACCESS_KEY=" + key.secret);
    }
    return 0;
}

}  // namespace

void add_account_commands(CLI::App& app, context& c) {
    auto* account = app.add_subcommand("account", "Back up and restore the account's key");
    account->require_subcommand(1);
    const auto a = std::make_shared<arguments>();

    auto* export_command = add_command(*account, c, "export", "Write the account's key, without which its volumes cannot be read", false);
    export_command->add_option("file", a->file, "A new file; default: standard output")->option_text("FILE");
    export_command->callback([&c, a] { c.action = [&c, a] { return export_key(c, *a); }; });

    auto* import_command = add_command(*account, c, "import", "Restore an account's key where there is none", false);
    import_command->add_option("file", a->file, "What export wrote; - is standard input")->required()->option_text("FILE");
    import_command->callback([&c, a] { c.action = [&c, a] { return import_key(c, *a); }; });

    auto* s3_command = add_command(*account, c, "s3-key", "Print the account's S3 credentials, derived from its key", true);
    s3_command->callback([&c] { c.action = [&c] { return show_s3_key(c); }; });
}

}  // namespace cess::cli
