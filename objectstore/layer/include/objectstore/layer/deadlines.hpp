// How long each kind of work may take; client.toml's table, with these defaults.
#pragma once

#include <core/net/env.hpp>

namespace cess::layer {

struct deadlines {
    net::duration read = std::chrono::seconds(10);            // of a range, hedges and decoding included
    net::duration put = std::chrono::seconds(30);             // of a segment, other miners tried included
    net::duration append = std::chrono::seconds(30);          // of a journal entry, until A members have it
    net::duration ledger = std::chrono::seconds(10);          // of a transaction or a proved read
    net::duration recovery = std::chrono::seconds(10);        // until enough members must have answered a fence
    net::duration owner_silence = std::chrono::seconds(5);    // T: after it a silent owner may be replaced
    net::duration request = std::chrono::seconds(3);          // one request to one miner
    net::duration hedge = std::chrono::milliseconds(150);     // until another fragment is asked as well
};

}  // namespace cess::layer
