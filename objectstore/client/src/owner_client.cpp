#include "owner_client.hpp"

namespace cess::client {
namespace {

constexpr net::duration ping_time = std::chrono::seconds(1);
constexpr net::duration ping_pause = std::chrono::milliseconds(250);
constexpr net::duration command_time = std::chrono::seconds(60);  // a snapshot waits for a flush

net::peer owner_of(const ledger::lease& l) { return net::peer{crypto::id_of<node_id>(l.session), l.endpoint}; }

}  // namespace

const ledger::lease* lease_of_owner(const ledger::volume_record& of) noexcept {
    if (of.leases.empty() || of.leases.back().endpoint.empty()) return nullptr;
    return &of.leases.back();
}

net::awaitable<result<bool>> owner_is_alive(asking with, ledger::lease of) {
    const auto patience = with.world.now() + with.limits.owner_silence;
    layer::owner_ping_request ping;
    ping.volume = of.volume;
    for (;;) {
        const auto until = std::min(patience, with.world.now() + ping_time);
        auto op = net::call_typed<layer::owner_ping_reply>(with.network, owner_of(of), layer::method::owner_ping, ping, bytes(), until, net::lane::control);
        auto got = co_await std::move(op);
        if (got) co_return got->message.alive && got->message.term == of.term;
        if (with.world.now() + ping_pause >= patience) co_return false;
        auto slept = co_await with.world.sleep_for(ping_pause);
        if (!slept) co_return std::move(slept).error();
    }
}

net::awaitable<result<owner_result>> ask_owner(asking with, ledger::lease of, owner_action what) {
    owner_challenge_request ask;
    const auto soon = with.world.now() + with.limits.owner_silence;
    auto asking_first = net::call_typed<owner_challenge>(with.network, owner_of(of), method::owner_challenge, ask, bytes(), soon, net::lane::control);
    auto challenge = co_await std::move(asking_first);
    if (!challenge && challenge.error().code == errc::unavailable) co_return error(errc::busy, "the volume's owner ended just now: " + challenge.error().what);
    if (!challenge) co_return std::move(challenge).error();
    signed_owner_command command;
    command.body.network = with.network_name;
    command.body.volume = of.volume;
    command.body.term = of.term;
    command.body.owner = of.session;
    command.body.from = with.self;
    command.body.challenge = challenge->message;
    command.body.what = std::move(what);
    command.sig = with.who.key.sign(signed_part(command.body));
    const auto later = with.world.now() + command_time;
    auto op = net::call_typed<owner_result>(with.network, owner_of(of), method::owner_command, std::move(command), bytes(), later, net::lane::control);
    auto done = co_await std::move(op);
    if (!done) co_return std::move(done).error();
    co_return std::move(done->message);
}

}  // namespace cess::client
