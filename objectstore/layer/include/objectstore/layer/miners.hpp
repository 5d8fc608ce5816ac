// The storage miners as this process knows them: where they are, how quick, and whether they failed lately; and the
// one way to ask them something.
//
// `miner_directory` is shared by everything in the process and thread-safe. `miner_link` adds the lease that a
// session shows when a miner asks for it; one a session, and one without a lease for reading.
#pragma once

#include <chain/client/client.hpp>
#include <node/storage/protocol.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace cess::layer {

class miner_directory {
public:
    miner_directory(net::env& world, chain::client& ledger) : m_world(world), m_ledger(ledger) {}

    // Fetches the ledger's list unless it was fetched less than `age` ago. A list that cannot be fetched leaves the old one.
    net::awaitable<result<void>> refresh(net::duration age, net::time_point deadline);
    // Where the ledger lists it, looked up anew if it keeps failing there. errc::not_found if it is not listed.
    net::awaitable<result<net::peer>> find(node_id miner, net::time_point deadline);
    [[nodiscard]] std::vector<ledger::node_record> miners() const;  // of the storage role, as last fetched

    void succeeded(const node_id& miner, net::duration took);
    void late(const node_id& miner, net::duration waited);  // others were quicker; its answer was not waited for
    void failed(const node_id& miner);
    // Failed lately: asked last, and not chosen for new data, for a time that doubles with every failure up to 10 s.
    [[nodiscard]] bool avoided(const node_id& miner) const;
    // Sent wrong bytes: for a minute everything it sends is asked for with its proof.
    void distrust(const node_id& miner);
    [[nodiscard]] bool distrusted(const node_id& miner) const;
    // Indexes into the list: those not avoided first, of them the quick ones, equals in the list's order; as all stood at
    // one moment. A sort that asks for each comparison is told two orders at once, and std's then write past the ends.
    [[nodiscard]] std::vector<unsigned> quickest_first(const std::vector<node_id>& miners) const;
    [[nodiscard]] net::duration latency(const node_id& miner) const;  // mean of recent small requests; 0 = unknown
    // Who is asked first, `wanted` or, without one, the quickest, and how long nobody else need be; nothing if anything
    // speaks against it: it failed lately, is as slow as `hedge`, or one of the holders sent wrong bytes.
    struct choice {
        unsigned index = 0;
        net::duration patience{0};
    };
    [[nodiscard]] std::optional<choice> first_choice(const std::vector<node_id>& holders, std::optional<unsigned> wanted, net::duration hedge) const;

private:
    [[nodiscard]] bool may_have_moved(const node_id& miner) const;

    struct history {
        net::duration mean{0};
        net::time_point avoid_until{};
        net::time_point distrust_until{};
        unsigned failures = 0;
    };
    net::env& m_world;
    chain::client& m_ledger;
    mutable std::mutex m_mutex;
    std::map<node_id, ledger::node_record> m_records;
    std::map<node_id, history> m_histories;
    bool m_fetched = false;
    net::time_point m_fetched_at{};
};

// How long a miner that usually takes so long may take before others are asked as well.
[[nodiscard]] net::duration patience_with(net::duration usual, net::duration hedge) noexcept;

// Who tells the directory that a miner answered: the link, or the caller, who knows more from the answer. Failures to
// answer are always told by the link.
enum class judging { by_link, by_caller };

class miner_link {
public:
    miner_link(net::env& world, net::caller& network, miner_directory& directory) : m_world(world), m_network(network), m_directory(directory) {}

    // The certified volume record that is presented from now on.
    void set_lease(std::shared_ptr<const ledger::proved_record> certificate);
    [[nodiscard]] std::shared_ptr<const ledger::proved_record> lease() const;
    [[nodiscard]] miner_directory& directory() noexcept { return m_directory; }
    [[nodiscard]] net::env& world() noexcept { return m_world; }

    // A miner that does not know the lease is shown it, once.
    template <class Reply, class Message>
    net::awaitable<result<net::typed_reply<Reply>>> ask(node_id miner, net::method_id method, Message message, net::request_body body,
                                                        net::time_point deadline, net::lane on, judging success = judging::by_link) {
        CO_TRY(auto answer, co_await ask_raw(miner, method, wire::encode(message), std::move(body), deadline, on, success));
        auto decoded = wire::decode<Reply>(answer.head);
        if (!decoded) {
            m_directory.failed(miner);
            co_return std::move(decoded).error().with_context("reply of miner " + miner.brief());
        }
        net::typed_reply<Reply> out;
        out.message = std::move(*decoded);
        out.body = std::move(answer.body);
        co_return out;
    }
    net::awaitable<result<void>> present(node_id miner, net::time_point deadline);
    // Shows the miner our newest certificate unless it has seen it.
    net::awaitable<result<void>> keep_informed(node_id miner, net::time_point deadline);

private:
    net::awaitable<result<net::reply>> ask_raw(node_id miner, net::method_id method, bytes head, net::request_body body, net::time_point deadline, net::lane on,
                                               judging success);

    net::env& m_world;
    net::caller& m_network;
    miner_directory& m_directory;
    mutable std::mutex m_mutex;
    std::shared_ptr<const ledger::proved_record> m_lease;
    std::map<node_id, std::shared_ptr<const ledger::proved_record>> m_seen;
};

// Whether an answer says something of the miner's health (it is slow, gone or lies) rather than of the request.
[[nodiscard]] bool is_miners_fault(errc code) noexcept;

}  // namespace cess::layer
