// Ordering by one validator: whatever waits when the last block is done becomes the next block.
//
// Each block names the one before it as its only parent and is durable in the block log before next() gives it out, so
// that a restart never signs two blocks of one round.
#pragma once

#include "block_log.hpp"

#include <chain/consensus/keys.hpp>
#include <chain/node/ordering.hpp>
#include <chain/node/validator.hpp>
#include <core/net/channel.hpp>

namespace cess::chain {

class single_validator final : public ordering {
public:
    // `last` is the newest block that the state contains. Blocks of the log past it go to `replay`, checked.
    struct place {
        block_height height;
        std::uint64_t round = 0;
        hash256 digest;
    };
    using replay = std::function<result<void>(ordered)>;
    static result<std::unique_ptr<single_validator>> open(const validator_dependencies& on, std::uint16_t author, place last, const replay& visit);

    result<void> submit(ledger::signed_transaction what, std::uint64_t weight) override;
    net::awaitable<result<ordered>> next() override;
    void contribute(block_height height, signature over_certificate) override;
    result<bytes> encoded_block(block_height height, const block_place&) override { return m_log->read(height); }
    [[nodiscard]] std::size_t waiting() const override;
    void stop() override;

private:
    struct queued {
        ledger::signed_transaction what;
        std::uint64_t weight;  // ledger::weight_of
    };
    single_validator(const validator_dependencies& on, std::uint16_t author, place last);
    result<committed_block> replayed(block_height height, byte_view encoded);
    result<std::shared_ptr<committed_block>> make_block();
    std::vector<ledger::signed_transaction> take_queued();

    net::env& m_world;
    net::worker_pool& m_workers;
    const consensus::ed25519_keys m_keys;
    const network_id m_network;
    const std::uint64_t m_epoch;
    const std::uint16_t m_author;
    const validator_limits m_limits;
    std::unique_ptr<block_log> m_log;
    place m_last;

    mutable std::mutex m_mutex;
    std::deque<queued> m_queue;
    std::uint64_t m_queue_weight = 0;
    std::optional<std::pair<block_height, signature>> m_contribution;
    bool m_stopped = false;
    net::bounded_channel<bool> m_bell{1};  // rung when the queue stops being empty
};

}  // namespace cess::chain
