-- SPDX-License-Identifier: Apache-2.0
-- What a client may not send, as tables for both versions of MQTT: each ends the connection it
-- came on, in MQTT 5 with the reason that the standard gives for it. Rows end with the statements
-- that they break, level → ids.
local wire = require "support.mqtt_wire"

local M = {}

local MALFORMED, PROTOCOL, BAD_TOPIC, BAD_ALIAS = 0x81, 0x82, 0x90, 0x94

-- What is no text: surrogates, longer than need be, past U+10FFFF, cut, no UTF-8 at all; U+0000.
M.no_utf8 = { "\xED\xA0\x80", "\xED\xBF\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80",
  "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "a\xC3", "\xE2\x82", "\x80", "\xFF",
  "12345678\xFF", "12345678\xED\xA0\x8012345678" }
M.with_nul = { "\0", "a\0", "\0a", "1234567\0", "12345678\0" }

local function s2(text) return string.pack(">s2", text) end

local function prop(id, value) return function(text) return id .. s2(text) .. (value or "") end end

local function publish_with(property)
  return function(v, text) return wire.publish(v, "t", "", { props = property(text) }) end
end

-- Where text stands in a packet of a client: place, how it gets there, statements for what is
-- no UTF-8, and for U+0000.
M.places = {
  { "a topic name", function(v, text) return wire.publish(v, text, "x") end,
    { [4] = "1.5.3-1, 3.3.2-1", [5] = "1.5.4-1, 3.3.2-1" },
    { [4] = "1.5.3-2, 4.7.3-2", [5] = "1.5.4-2, 4.7.3-2" } },
  { "a filter of SUBSCRIBE", function(v, text) return wire.subscribe(v, 1, { { text, 0 } }) end,
    { [4] = "1.5.3-1, 3.8.3-1", [5] = "1.5.4-1, 3.8.3-1" },
    { [4] = "1.5.3-2, 4.7.3-2", [5] = "1.5.4-2, 4.7.3-2" } },
  { "a filter of UNSUBSCRIBE", function(v, text) return wire.unsubscribe(v, 1, { text }) end,
    { [4] = "1.5.3-1, 3.10.3-1", [5] = "1.5.4-1, 3.10.3-1" },
    { [4] = "1.5.3-2, 4.7.3-2", [5] = "1.5.4-2, 4.7.3-2" } },
  { "a response topic", publish_with(prop "\x08"), { [5] = "3.3.2-13" }, { [5] = "1.5.4-2" } },
  { "a content type", publish_with(prop "\x03"), { [5] = "3.3.2-19" }, { [5] = "1.5.4-2" } },
  { "the name of a user property", publish_with(prop("\x26", "\0\1v")),
    { [5] = "1.5.7-1" }, { [5] = "1.5.7-1" } },
  { "the value of a user property", publish_with(prop "\x26\0\1n"),
    { [5] = "1.5.7-1" }, { [5] = "1.5.7-1" } },
  { "a reason string", function(_, text)
    local props = wire.props(5, prop "\x1F"(text))
    return wire.packet(0x40, "\0\1\0" .. props)
  end, { [5] = "1.5.4-1" }, { [5] = "1.5.4-2" } },
}

-- The same in CONNECT, whose sender has no connection yet.
M.connect_places = {
  { "the client identifier", function(v, text) return { id = text, version = v } end,
    { [4] = "1.5.3-1, 3.1.3-4", [5] = "1.5.4-1, 3.1.3-4" } },
  { "the will topic", function(v, text)
    return { id = "c", version = v, will = { topic = text } }
  end, { [4] = "1.5.3-1, 3.1.3-10", [5] = "1.5.4-1, 3.1.3-11" } },
  { "the user name", function(v, text) return { id = "c", version = v, user = text } end,
    { [4] = "1.5.3-1, 3.1.3-11", [5] = "1.5.4-1, 3.1.3-12" } },
}

-- What else a connected client may not send: what, reason, packet, statements.
M.mistakes = {
  { "no type 0", MALFORMED, "\0\0", { [4] = "4.8.0-1", [5] = "4.13.1-1" } },
  { "a length without end", MALFORMED, "\xC0\xFF\xFF\xFF\xFF\x01", { [4] = "4.8.0-1" } },
  { "a remaining length that is longer than need be", MALFORMED, "\xC0\x80\0",
    { [5] = "1.5.5-1" } },
  { "a property length that is longer than need be", MALFORMED, "\x30\x05\0\1t\x80\0",
    { [5] = "1.5.5-1" } },
  { "a subscription identifier that is longer than need be", MALFORMED,
    "\x82\x0A\0\1\x03\x0B\x81\0\0\1a\0", { [5] = "1.5.5-1" } },
  { "QoS 3", MALFORMED, function(v) return wire.publish(v, "t", "x", { qos = 3 }) end,
    { [4] = "3.3.1-4", [5] = "3.3.1-4" } },
  { "DUP with QoS 0", MALFORMED, function(v) return wire.publish(v, "t", "x", { dup = true }) end,
    { [4] = "3.3.1-2, 4.3.1-1", [5] = "3.3.1-2, 4.3.1-1" } },
  { "a topic with +", BAD_TOPIC, function(v) return wire.publish(v, "a/+", "x") end,
    { [4] = "3.3.2-2, 4.7.1-1", [5] = "3.3.2-2, 4.7.0-1" } },
  { "a topic with #", BAD_TOPIC, function(v) return wire.publish(v, "a/b/c/d/#", "x") end,
    { [4] = "3.3.2-2, 4.7.1-1", [5] = "3.3.2-2, 4.7.0-1" } },
  { "no topic", PROTOCOL, function(v) return wire.publish(v, "", "x") end,
    { [4] = "4.7.3-1", [5] = "4.7.3-1" } },
  { "identifier 0 with QoS 1", PROTOCOL,
    function(v) return wire.publish(v, "t", "x", { qos = 1, packet_id = 0 }) end,
    { [4] = "2.3.1-1", [5] = "2.2.1-3" } },
  { "identifier 0 with QoS 2", PROTOCOL,
    function(v) return wire.publish(v, "t", "x", { qos = 2, packet_id = 0 }) end,
    { [4] = "2.3.1-1", [5] = "2.2.1-3" } },
  { "identifier 0 in SUBSCRIBE", PROTOCOL, function(v) return wire.subscribe(v, 0, { { "a" } }) end,
    { [4] = "2.3.1-1", [5] = "2.2.1-3" } },
  { "identifier 0 in UNSUBSCRIBE", PROTOCOL, function(v) return wire.unsubscribe(v, 0, { "a" }) end,
    { [4] = "2.3.1-1", [5] = "2.2.1-3" } },
  { "SUBSCRIBE without a filter", PROTOCOL, function(v) return wire.subscribe(v, 1, {}) end,
    { [4] = "3.8.3-3", [5] = "3.8.3-2" } },
  { "UNSUBSCRIBE without a filter", PROTOCOL, function(v) return wire.unsubscribe(v, 1, {}) end,
    { [4] = "3.10.3-2", [5] = "3.10.3-2" } },
  { "a wish for QoS 3", PROTOCOL, function(v) return wire.subscribe(v, 1, { { "a", 3 } }) end,
    { [4] = "3.8.3-4", [5] = "4.13.1-1" } },
  { "the second CONNECT", PROTOCOL, function(v) return wire.connect { id = "c", version = v } end,
    { [4] = "3.1.0-2, 4.8.0-1", [5] = "3.1.0-2, 3.2.0-2" } },
  { "CONNACK", PROTOCOL, function(v) return "\x20" .. (v == 5 and "\3\0\0\0" or "\2\0\0") end,
    { [4] = "4.8.0-1", [5] = "4.13.1-1" } },
  { "SUBACK", PROTOCOL, function(v) return v == 5 and "\x90\4\0\1\0\0" or "\x90\3\0\1\0" end,
    { [4] = "4.8.0-1", [5] = "4.13.1-1" } },
  { "UNSUBACK", PROTOCOL, function(v) return v == 5 and "\xB0\4\0\1\0\0" or "\xB0\2\0\1" end,
    { [4] = "4.8.0-1", [5] = "4.13.1-1" } },
  { "PINGRESP", PROTOCOL, "\xD0\0", { [4] = "4.8.0-1", [5] = "4.13.1-1" } },
  { "a response topic with a wildcard", PROTOCOL, wire.publish(5, "t", "", { props = "\x08\0\1#" }),
    { [5] = "3.3.2-14" } },
  { "a PUBLISH with a subscription identifier", PROTOCOL,
    wire.publish(5, "t", "", { props = "\x0B\1" }), { [5] = "3.3.4-6" } },
  { "an alias past the maximum", BAD_ALIAS, wire.publish(5, "t", "", { props = { alias = 17 } }),
    { [5] = "3.3.2-9, 3.2.2-17" } },
  { "alias 0", BAD_ALIAS, wire.publish(5, "t", "", { props = { alias = 0 } }),
    { [5] = "3.3.2-8" } },
  { "AUTH without a method in CONNECT", PROTOCOL, "\xF0\0", { [5] = "4.12.0-7" } },
  { "AUTH with a reason of its own", PROTOCOL, "\xF0\2\1\0", { [5] = "3.15.2-1" } },
  { "PUBACK with a reason of its own", PROTOCOL, "\x40\3\0\1\x92", { [5] = "3.4.2-1" } },
  { "PUBREC with a reason of its own", PROTOCOL, "\x50\3\0\1\x92", { [5] = "3.5.2-1" } },
  { "PUBREL with a reason of its own", PROTOCOL, "\x62\3\0\1\x10", { [5] = "3.6.2-1" } },
  { "PUBCOMP with a reason of its own", PROTOCOL, "\x70\3\0\1\x10", { [5] = "3.7.2-1" } },
  { "DISCONNECT with a reason of the server's", PROTOCOL, "\xE0\1\x8B", { [5] = "3.14.2-1" } },
}

-- Every flag that a packet may not have: packet, its flags, the body in either version.
M.flags = {
  { "PUBACK", 0x40, "\0\1", { [4] = "2.2.2-1, 2.2.2-2", [5] = "2.1.3-1" } },
  { "PUBREC", 0x50, "\0\1", { [4] = "2.2.2-1, 2.2.2-2", [5] = "2.1.3-1" } },
  { "PUBREL", 0x62, "\0\1", { [4] = "3.6.1-1", [5] = "3.6.1-1" } },
  { "PUBCOMP", 0x70, "\0\1", { [4] = "2.2.2-1, 2.2.2-2", [5] = "2.1.3-1" } },
  { "SUBSCRIBE", 0x82, { [4] = "\0\1\0\1a\0", [5] = "\0\1\0\0\1a\0" },
    { [4] = "3.8.1-1", [5] = "3.8.1-1" } },
  { "UNSUBSCRIBE", 0xA2, { [4] = "\0\1\0\1a", [5] = "\0\1\0\0\1a" },
    { [4] = "3.10.1-1", [5] = "3.10.1-1" } },
  { "PINGREQ", 0xC0, "", { [4] = "2.2.2-1, 2.2.2-2", [5] = "2.1.3-1" } },
  { "DISCONNECT", 0xE0, "", { [4] = "3.14.1-1", [5] = "3.14.1-1" } },
  { "AUTH", 0xF0, "", { [5] = "3.15.1-1" } },
}

--- Every one of them that a client of `version` can send once it is connected.
--- @return a list of { reason, bytes, name }
function M.all(version)
  local out = {}
  local function add(reason, bytes, name) out[#out + 1] = { reason, bytes, name } end
  for _, place in ipairs(M.places) do
    for _, list in ipairs(place[3][version] and { M.no_utf8, M.with_nul } or {}) do
      for _, text in ipairs(list) do add(MALFORMED, place[2](version, text), place[1]) end
    end
  end
  for _, mistake in ipairs(M.mistakes) do
    local bytes = mistake[3]
    if mistake[4][version] then
      add(mistake[2], type(bytes) == "string" and bytes or bytes(version), mistake[1])
    end
  end
  for _, packet in ipairs(M.flags) do
    local body = type(packet[3]) == "table" and packet[3][version] or packet[3]
    for flags = 0, packet[4][version] and 15 or -1 do
      local first = packet[2] & 0xF0 | flags
      if first ~= packet[2] then add(MALFORMED, wire.packet(first, body), packet[1]) end
    end
  end
  return out
end

return M
