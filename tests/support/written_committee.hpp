// Networks written as files, for the real node programs.
#pragma once

#include <chain/consensus/cks_coin.hpp>
#include <chain/ledger/proof.hpp>
#include <core/keys/key_file.hpp>
#include <node/roles/config.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace cess::test {

struct scratch {
    std::string path;
    scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "cess-roles-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    ~scratch() { std::filesystem::remove_all(path); }
};

// Files of a committee of four, each member with a directory, its key and its share of the coin.
struct written_committee {
    scratch dir;
    std::vector<std::string> validators;

    written_committee() {
        auto& disk = os::posix_file_system();
        system_random random;
        const auto dealt = consensus::deal_coin(random, 4, 2);
        ledger::genesis origin;
        origin.name = "committee test";
        origin.coin = dealt.verification;
        std::vector<std::string> addresses;
        const auto port = 18000 + random.next() % 900;
        for (unsigned i = 0; i < 4; ++i) {
            const auto home = dir.path + "/" + std::to_string(i);
            std::filesystem::create_directories(home + "/data/log/epoch-0");
            const auto key = keys::read_or_make(disk, home + "/node.key", keys::node_kind, random);
            REQUIRE(key.has_value());
            REQUIRE(keys::write(disk, home + "/coin.key", keys::coin_kind, dealt.secrets[i]).has_value());
            origin.first.members.push_back(key->pub());
            net::peer who;
            who.id = crypto::id_of<node_id>(key->pub());
            who.address = "127.0.0.1:" + std::to_string(port + i);
            addresses.push_back(who.address);
            validators.push_back(roles::format_peer(who));
        }
        std::string all;
        for (const auto& v : validators) all += (all.empty() ? "\"" : ", \"") + v + "\"";
        for (unsigned i = 0; i < 4; ++i)
            std::ofstream(conf(i)) << "role = \"consensus\"\ndirectory = \"" << i << "\"\nlisten = \"" << addresses[i] << "\"\ngenesis = \""
                                   << to_hex(wire::encode(origin)) << "\"\nvalidators = [" << all << "]\nepoch_rounds = 150\n";
    }
    [[nodiscard]] std::string conf(unsigned i) const { return dir.path + "/" + std::to_string(i) + ".toml"; }
};

}  // namespace cess::test
