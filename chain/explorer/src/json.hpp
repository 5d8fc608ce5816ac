// The ledger's records as JSON. Ids, keys and hashes are hexadecimal; what may pass 2⁵³ (amounts of bytes, sequences, segment numbers,
// the numbers of a client's transactions) is a decimal string, since JavaScript's numbers end there.
#pragma once

#include <chain/node/records.hpp>

#include <nlohmann/json.hpp>

namespace cess::chain {

using json = nlohmann::ordered_json;

[[nodiscard]] inline std::string wide(std::uint64_t number) { return std::to_string(number); }
[[nodiscard]] std::string_view to_string(ledger::node_role role) noexcept;

[[nodiscard]] json to_json(const ledger::shape& shape);
[[nodiscard]] json to_json(const ledger::node_record& node);
[[nodiscard]] json to_json(const ledger::segment_record& segment);
[[nodiscard]] json to_json(const ledger::root& root);
[[nodiscard]] json to_json(const ledger::lease& lease);
[[nodiscard]] json to_json(const ledger::view_record& view);
[[nodiscard]] json to_json(const ledger::freed_record& freed);
[[nodiscard]] json to_json(const ledger::committee& committee);
[[nodiscard]] json to_json(const ledger::state_certificate& certificate);
[[nodiscard]] json to_json(const ledger::tree_proof& proof);
[[nodiscard]] json summary_of(const ledger::volume_record& volume);
[[nodiscard]] json to_json(const ledger::volume_record& volume);

// actions.cpp: what a transaction asks for.
[[nodiscard]] std::string_view kind_name(std::size_t index) noexcept;  // of ledger::action's alternatives
[[nodiscard]] json to_json(const ledger::action& what);
[[nodiscard]] json to_json(const transaction_entry& entry);

}  // namespace cess::chain
