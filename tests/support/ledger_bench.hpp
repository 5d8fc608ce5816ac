// The pure ledger over memory, with an account, miners and short ways to say transactions: for tests.
#pragma once

#include <chain/ledger/ledger.hpp>
#include <chain/ledger/proof.hpp>
#include <core/base/random.hpp>

#include <map>

namespace cess::test {

inline crypto::signing_key seeded_key(std::uint64_t seed) {
    seeded_random random(seed);
    return crypto::signing_key::generate(random);
}

class ledger_bench {
public:
    explicit ledger_bench(std::size_t miner_count = 4, std::uint64_t offered = 64 * GiB) {
        network = network_id::from(crypto::sha256(as_view("a network")).view());
        for (std::size_t i = 0; i < miner_count; ++i) {
            const auto key = seeded_key(1000 + i);
            miners.push_back(crypto::id_of<node_id>(key.pub()));
            require_ok(run(owner, registration(key, owner, offered)));
        }
    }
    static void require_ok(const ledger::outcome& got) {
        if (got.code != errc::ok) throw std::logic_error(got.what);
    }

    // Signs as the account and applies in a block of its own.
    ledger::outcome run(const crypto::signing_key& who, ledger::action what) { return send(make(who, std::move(what))); }
    ledger::outcome run(ledger::action what) { return run(owner, std::move(what)); }
    ledger::transaction make_body(const crypto::signing_key& who, ledger::action what) {
        ledger::transaction body;
        body.network = network;
        body.account = crypto::id_of<account_id>(who.pub());
        body.client.raw[0] = std::byte{1};
        body.number = ++numbers[body.account];
        body.expires = {height.value + 1000};
        body.what = std::move(what);
        return body;
    }
    ledger::signed_transaction make(const crypto::signing_key& who, ledger::action what) { return sign(who, make_body(who, std::move(what))); }
    ledger::outcome send(const ledger::signed_transaction& what) {
        height = height.next();
        return apply(state, what, {network, height});
    }

    ledger::register_node registration(const crypto::signing_key& node_key, const crypto::signing_key& by, std::uint64_t offered) const {
        ledger::register_node what;
        what.node.id = crypto::id_of<node_id>(node_key.pub());
        what.node.owner = crypto::id_of<account_id>(by.pub());
        what.node.address = "127.0.0.1:7000";
        what.node.failure_domain = what.node.id.brief();
        what.node.offered = offered;
        what.consent = consent_of(node_key, network, what.node);
        return what;
    }
    static volume_id volume_named(const std::string& name) { return volume_id::from(crypto::sha256(as_view(name)).view()); }
    static ledger::create_volume creation(const std::string& name, ledger::volume_type type = ledger::volume_type::filesystem) {
        ledger::create_volume what;
        what.id = volume_named(name);
        what.name = name;
        what.type = type;
        what.size = type == ledger::volume_type::block ? GiB : 0;
        what.block_size = 4096;
        what.geometry = {2, 1};
        return what;
    }
    ledger::take_lease taking(const volume_id& volume, std::uint64_t expected, std::uint64_t reservation = GiB) const {
        ledger::take_lease what;
        what.volume = volume;
        what.expected = {expected};
        what.session = seeded_key(77).pub();
        what.endpoint = "127.0.0.1:9";
        what.reservation = reservation;
        for (const auto& miner : miners) what.members.push_back({miner, {}});
        return what;
    }
    // Creates and opens a volume in term 1.
    volume_id opened(const std::string& name) {
        require_ok(run(creation(name)));
        require_ok(run(taking(volume_named(name), 0)));
        return volume_named(name);
    }
    ledger::segment_record segment(const volume_id& of, std::uint64_t counter, std::uint64_t birth, std::uint64_t death = 0, std::uint64_t term = 1, std::uint64_t length = MiB) const {
        ledger::segment_record s;
        s.lineage = of;
        s.number = {term << 40 | counter};
        s.id = segment_id::from(crypto::sha256(wire::encode(std::pair(of, s.number))).view());
        s.geometry = {2, 1};
        s.length = length;
        s.block_size = 4096;
        for (std::size_t i = 0; i < 3; ++i) s.holders.push_back(miners[(counter + i) % miners.size()]);
        s.birth = {birth};
        s.death = {death};
        return s;
    }
    // A root at `sequence` whose manifest is segment `counter`, with that among the added.
    ledger::commit_root root(const volume_id& of, std::uint64_t sequence, std::uint64_t counter, std::uint64_t term = 1) const {
        ledger::commit_root what;
        what.volume = of;
        what.term = {term};
        what.head.sequence = {sequence};
        what.head.term = {term};
        what.head.manifest = segment(of, counter, sequence, 0, term, 4096);
        what.added.push_back(*what.head.manifest);
        return what;
    }
    ledger::create_view view(const volume_id& of, const std::string& name, std::uint64_t sequence, std::uint64_t counter, std::uint64_t term = 1) const {
        ledger::create_view what;
        what.volume = of;
        what.term = {term};
        what.name = name;
        what.at.sequence = {sequence};
        what.at.term = {term};
        what.at.manifest = segment(of, counter, sequence, sequence + 1, term, 4096);
        what.added.push_back(*what.at.manifest);
        return what;
    }

    template <class Record>
    std::optional<Record> find(const bytes& key) {
        const auto raw = state.get(key);
        if (!raw) return std::nullopt;
        return *wire::decode<Record>(*raw);
    }
    ledger::volume_record volume(const volume_id& id) { return find<ledger::volume_record>(ledger::key::volume(id)).value(); }
    ledger::totals_record totals() { return find<ledger::totals_record>(ledger::key::totals()).value_or(ledger::totals_record{}); }
    bool has_segment(const volume_id& of, std::uint64_t counter, std::uint64_t term = 1) { return state.get(ledger::key::segment(of, {term << 40 | counter})).has_value(); }
    bool is_freed(const volume_id& of, std::uint64_t counter, std::uint64_t term = 1) {
        return state.get(ledger::key::freed(of, segment(of, counter, 0, 0, term).id)).has_value();
    }

    network_id network;
    crypto::signing_key owner = seeded_key(1);
    crypto::signing_key stranger = seeded_key(2);
    std::vector<node_id> miners;
    ledger::memory_state state;
    block_height height;
    std::map<account_id, std::uint64_t> numbers;
};

}  // namespace cess::test
