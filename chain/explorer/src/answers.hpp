// From a request to an answer, over a node's records. Blocking: runs on the API's own thread.
//
// Each answer's work is bounded: a page of at most page_limit entries and about a MiB of records, or one block of the log.
#pragma once

#include "json.hpp"
#include "route.hpp"

#include <core/net/http_server.hpp>

namespace cess::chain {

struct answered {
    json body;
    bool immutable = false;  // the same as long as the network is
};
using answerer = result<answered> (*)(const records& on, const target& what);

// What can be told without reading anything: a preflight, a refusal. None: to be answered by answer().
[[nodiscard]] std::optional<net::http_response> answer_at_once(const net::http_request& asked);
[[nodiscard]] net::http_response answer(const records& on, const net::http_request& asked);
// One line of JSON, readable by scripts of any origin like every answer.
[[nodiscard]] net::http_response refusal(unsigned status, std::string_view why);

// The answerers, by path: answers.cpp has the table.
result<answered> status_of(const records& on, const target& what);
result<answered> genesis_of(const records& on, const target& what);
result<answered> committee_of(const records& on, const target& what);
result<answered> blocks(const records& on, const target& what);
result<answered> block(const records& on, const target& what);
result<answered> transaction(const records& on, const target& what);
result<answered> account_of(const records& on, const target& what);
result<answered> account_transactions(const records& on, const target& what);
result<answered> account_volumes(const records& on, const target& what);
result<answered> nodes(const records& on, const target& what);
result<answered> node(const records& on, const target& what);
result<answered> volumes(const records& on, const target& what);
result<answered> volume(const records& on, const target& what);
result<answered> views(const records& on, const target& what);
result<answered> view(const records& on, const target& what);
result<answered> segments_of_volume(const records& on, const target& what);
result<answered> segment_of_volume(const records& on, const target& what);
result<answered> segments(const records& on, const target& what);
result<answered> proof(const records& on, const target& what);

// What they share.
[[nodiscard]] ledger::committee signers_of(const ledger::state_certificate& certificate);
template <class Id>
[[nodiscard]] result<Id> id_in(const target& what, std::size_t part, const char* kind) {
    auto id = Id::parse(what.path[part]);
    if (id) return *id;
    return error(errc::invalid, std::string(kind) + " \"" + what.path[part].substr(0, 80) + "\": expected " + std::to_string(2 * Id::size) + " hexadecimal digits");
}
// The path of the next page.
[[nodiscard]] json next_page(const target& what, const char* cursor, const std::string& at);

}  // namespace cess::chain
