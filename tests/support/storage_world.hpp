// What a storage miner needs around it, on paper: a clock that stands still, a ledger that certifies whatever a test
// writes into it, owners with session keys, segments and journal groups as they would send them.
#pragma once

#include <chain/ledger/tree.hpp>
#include <core/net/suspend.hpp>
#include <node/storage/miner.hpp>
#include <node/storage/protocol.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <ostream>
#include <set>

namespace cess {
template <class Tag>
std::ostream& operator<<(std::ostream& os, const strong_number<Tag>& n) { return os << n.value; }
}  // namespace cess

namespace cess::test {

template <class Reply>
struct answered {
    Reply first;
    bytes second;
    friend std::ostream& operator<<(std::ostream& os, const answered& a) { return os << "a reply with " << a.second.size() << " bytes"; }
};

// Runs coroutines on the calling thread until the one that is waited for ends. Time moves by hand.
class still_env final : public net::env {
public:
    explicit still_env(std::uint64_t seed) : m_random(seed) {}
    [[nodiscard]] net::time_point now() const override { return m_now; }
    [[nodiscard]] std::chrono::system_clock::time_point wall_now() const override { return {}; }
    [[nodiscard]] random_source& random() override { return m_random; }
    [[nodiscard]] boost::asio::any_io_executor executor() override { return m_io.get_executor(); }
    net::awaitable<result<void>> sleep_until(net::time_point when) override;  // until cancelled
    void advance(net::duration d) { m_now += d; }
    void settle() {  // whatever is ready
        m_io.restart();
        m_io.poll();
    }
    template <class T>
    T run(net::awaitable<T> op) {
        std::optional<T> out;
        boost::asio::co_spawn(m_io, std::move(op), [&out](std::exception_ptr thrown, T value) {
            if (thrown) std::rethrow_exception(thrown);
            out.emplace(std::move(value));
        });
        m_io.restart();
        while (!out) m_io.run_one();
        return std::move(*out);
    }

private:
    boost::asio::io_context m_io;
    seeded_random m_random;
    net::time_point m_now{std::chrono::hours(1)};
};

// A committee of one that certifies what it is given.
class paper_ledger {
public:
    explicit paper_ledger(std::uint64_t seed);
    [[nodiscard]] ledger::trust trust() const { return {m_network, m_committee}; }
    void set(const bytes& key, std::optional<bytes> value);  // one height a change
    template <class Record>
    void write(const bytes& key, const Record& record) { set(key, wire::encode(record)); }
    [[nodiscard]] ledger::proved_record prove(const bytes& key);
    void free(const volume_id& lineage, const segment_id& id, const node_id& holder);
    [[nodiscard]] const std::vector<bytes>& freed_keys() const noexcept { return m_freed; }

private:
    crypto::signing_key m_key;
    ledger::committee m_committee;
    network_id m_network;
    ledger::memory_node_store m_nodes;
    ledger::tree m_tree{m_nodes};
    std::map<bytes, bytes> m_values;
    std::vector<bytes> m_freed;
    block_height m_height{1};
};

// A client of it for the sweeper.
class paper_client final : public chain::client {
public:
    explicit paper_client(paper_ledger& of) : m_of(of) {}
    [[nodiscard]] const chain::network_config& network() const noexcept override { return m_config; }
    [[nodiscard]] const ledger::trust& trust() const noexcept override { return m_trust; }
    net::awaitable<result<bytes>> submit(const chain::account&, ledger::action, net::time_point) override { co_return error(errc::unsupported); }
    net::awaitable<result<ledger::proved_record>> read(bytes key, net::time_point) override {
        auto answer = m_of.prove(key);
        if (after_read) {
            auto meanwhile = after_read(std::move(key));
            co_await std::move(meanwhile);
        }
        co_return answer;
    }
    std::function<net::awaitable<void>(bytes key)> after_read;  // what happens while the answer is on its way
    net::awaitable<result<std::vector<ledger::node_record>>> nodes(net::time_point) override { co_return error(errc::unsupported); }
    net::awaitable<result<std::vector<ledger::volume_record>>> volumes(account_id, net::time_point) override { co_return error(errc::unsupported); }
    net::awaitable<result<std::vector<ledger::view_record>>> views(volume_id, net::time_point) override { co_return error(errc::unsupported); }
    net::awaitable<result<std::vector<ledger::segment_record>>> segments(volume_id, segment_number, std::uint32_t, net::time_point) override { co_return error(errc::unsupported); }
    net::awaitable<result<freed_page>> freed_for(node_id, ledger::freed_cursor after, net::time_point) override;
    net::awaitable<result<status>> health(net::time_point) override { co_return error(errc::unsupported); }
    net::awaitable<result<void>> follow_handovers(net::time_point) override { co_return error(errc::unsupported); }

private:
    paper_ledger& m_of;
    chain::network_config m_config;
    ledger::trust m_trust{m_of.trust()};
};

struct sample_segment {
    storage::segment_identity identity;
    std::vector<bytes> fragments;
    [[nodiscard]] segment_id id() const { return storage::id_of(identity); }
};
// Random fragments (a miner cannot tell) of a segment of this many bytes.
[[nodiscard]] sample_segment make_segment(random_source& random, std::uint64_t length, ledger::shape geometry = {2, 1});

// A volume, its owners term by term, and its journal as the owner writes it.
class sample_volume {
public:
    sample_volume(paper_ledger& in, random_source& random, node_id miner);
    // The next term begins: a new session key, a lease with this miner's incarnation among the members.
    void take(incarnation_id incarnation, std::uint64_t reservation = 64 * MiB);
    void commit_root(entry_index journal_base);  // the head moves under the newest term, older leases go
    void write();                                // record → ledger
    [[nodiscard]] ledger::proved_record proof() { return m_ledger.prove(ledger::key::volume(record.id)); }
    [[nodiscard]] const crypto::signing_key& session(term_number term) const { return m_sessions.at(term.value); }
    [[nodiscard]] node_id owner(term_number term) const { return crypto::id_of<node_id>(session(term).pub()); }
    [[nodiscard]] term_number term() const noexcept { return record.term; }
    [[nodiscard]] storage::journal_ref journal() const { return {record.id, record.term}; }

    ledger::volume_record record;

private:
    paper_ledger& m_ledger;
    random_source& m_random;
    node_id m_miner;
    std::map<std::uint64_t, crypto::signing_key> m_sessions;
};

// What an owner has appended: payloads and the chain over them.
struct journal_writer {
    storage::journal_ref name;
    std::vector<bytes> payloads;
    std::vector<hash256> chains;  // after each entry
    [[nodiscard]] hash256 before(std::uint64_t index) const { return index == 0 ? hash256{} : chains[index - 1]; }
    void add(bytes payload);
    // Entries [first, last] as one signed group.
    [[nodiscard]] std::pair<storage::append_request, bytes> group(const crypto::signing_key& session, std::uint64_t first, std::uint64_t last) const;
};

// A miner on a disk, asked without a network between.
class storage_bed {
public:
    storage_bed(os::file_system& disk, paper_ledger& book, std::uint64_t seed);
    ~storage_bed() { kill(); }
    result<void> open();
    void kill();  // as a dying process: nothing is finished
    template <class Reply, class Message>
    result<answered<Reply>> ask(const node_id& from, net::method_id method, const Message& message, bytes body = {}) {
        auto raw = ask_raw(from, method, wire::encode(message), std::move(body));
        if (raw.failure.code != errc::ok) return raw.failure;
        TRY(auto decoded, wire::decode<Reply>(raw.head));
        return answered<Reply>{std::move(decoded), std::move(raw.body)};
    }
    net::reply ask_raw(const node_id& from, net::method_id method, bytes head, bytes body);
    [[nodiscard]] result<void> present(sample_volume& volume);
    [[nodiscard]] result<entry_index> append(sample_volume& volume, const journal_writer& writer, std::uint64_t first, std::uint64_t last, entry_index begin = {});

    still_env world;
    metrics count;
    storage::miner_options how;
    bool with_ledger = false;
    net::worker_pool* workers = nullptr;
    std::unique_ptr<storage::miner> miner;
    paper_client client;

private:
    os::file_system& m_disk;
    paper_ledger& m_book;
};

}  // namespace cess::test
