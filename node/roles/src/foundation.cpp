#include <core/keys/key_file.hpp>

#include "running_node.hpp"

namespace cess::roles {
namespace {

chain::account account_of(const crypto::signing_key& key) {
    return {key, crypto::hkdf(key.seed(), {}, "cess volume key wrapping v1")};
}

}  // namespace

foundation::foundation(std::unique_ptr<os::directory_lock> held, crypto::signing_key identity, chain::account account, std::string data)
    : lock(std::move(held)), key(std::move(identity)), owner(std::move(account)), data_directory(std::move(data)) {}

result<std::unique_ptr<foundation>> foundation::make(shared_resources& on, const node_config& how) {
    auto& disk = os::posix_file_system();
    CHECK_OK(disk.make_directories(how.directory));
    TRY(auto lock, os::directory_lock::take(how.directory));
    TRY(auto key, keys::read_or_make(disk, how.directory + "/node.key", keys::node_kind, on.world.random()));
    auto owner = account_of(key);
    if (!how.account.empty()) {
        TRY(const auto account, keys::read(disk, how.account, keys::account_kind));
        owner = account_of(account);
    }
    auto made = std::make_unique<foundation>(std::move(lock), std::move(key), std::move(owner), how.directory + "/data");
    CHECK_OK(disk.make_directories(made->data_directory));
    on.count.include(made->count, "role=\"" + how.role + "\",node=\"" + made->id().brief() + "\"");
    return made;
}

}  // namespace cess::roles
