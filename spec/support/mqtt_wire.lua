-- SPDX-License-Identifier: Apache-2.0
-- MQTT packets as tables, to bytes and back, for 3.1, 3.1.1 and 5.0: a second opinion on what
-- the adapter reads and writes. It builds wrong packets as readily as right ones, and it reads
-- strictly: reserved bits, properties and reasons that do not belong into a server's packet
-- raise, so every spec that reads a packet holds the server to them.
local M = {}

local TYPES = { "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
  "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH" }
local NUMBERS = {}
for number, name in ipairs(TYPES) do NUMBERS[name] = number end

-- name → identifier and how it is written: string.pack formats, "v" for a base-128 number.
local PROPS = {
  payload_format = { 0x01, "B" }, message_expiry = { 0x02, ">I4" }, content_type = { 0x03, ">s2" },
  response_topic = { 0x08, ">s2" }, correlation = { 0x09, ">s2" }, sub_id = { 0x0B, "v" },
  session_expiry = { 0x11, ">I4" }, assigned_id = { 0x12, ">s2" },
  server_keepalive = { 0x13, ">I2" }, auth_method = { 0x15, ">s2" }, auth_data = { 0x16, ">s2" },
  want_problem = { 0x17, "B" }, will_delay = { 0x18, ">I4" }, want_response = { 0x19, "B" },
  response_info = { 0x1A, ">s2" }, server_reference = { 0x1C, ">s2" }, reason = { 0x1F, ">s2" },
  receive_maximum = { 0x21, ">I2" }, alias_maximum = { 0x22, ">I2" }, alias = { 0x23, ">I2" },
  maximum_qos = { 0x24, "B" }, retain_available = { 0x25, "B" }, user = { 0x26, "pairs" },
  maximum_packet = { 0x27, ">I4" }, wildcard_available = { 0x28, "B" },
  sub_ids_available = { 0x29, "B" }, shared_available = { 0x2A, "B" },
}
local BY_ID = {}
for name, prop in pairs(PROPS) do BY_ID[prop[1]] = name end

local ACK = "reason user"
-- What a server may say: properties of each packet, and its reasons (MQTT 5.0 §2.4).
local MAY_HAVE = {
  CONNACK = "session_expiry receive_maximum maximum_qos retain_available maximum_packet "
    .. "assigned_id alias_maximum reason user wildcard_available sub_ids_available "
    .. "shared_available server_keepalive response_info server_reference auth_method auth_data",
  PUBLISH = "payload_format message_expiry alias response_topic correlation user sub_id "
    .. "content_type",
  PUBACK = ACK, PUBREC = ACK, PUBREL = ACK, PUBCOMP = ACK, SUBACK = ACK, UNSUBACK = ACK,
  DISCONNECT = "reason user server_reference",
}
local MAY_SAY = {
  CONNACK = "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F",
  PUBACK = "00 10 80 83 87 90 91 97 99", PUBREC = "00 10 80 83 87 90 91 97 99",
  PUBREL = "00 92", PUBCOMP = "00 92", SUBACK = "00 01 02 80 83 87 8F 91 97 9E A1 A2",
  UNSUBACK = "00 11 80 83 87 8F 91",
  DISCONNECT = "00 80 81 82 83 87 89 8B 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 "
    .. "A1 A2",
}
-- MQTT 3 has codes in two packets.
local MAY_SAY_3 = { CONNACK = "00 01 02 03 04 05", SUBACK = "00 01 02 80" }

local function expect(is, ...)
  if not is then error(string.format(...), 0) end
end

local function check_reason(version, kind, reason)
  local list = (version >= 5 and MAY_SAY or MAY_SAY_3)[kind]
  expect(not list or list:find(("%02X"):format(reason), 1, true), "%s with 0x%02x", kind, reason)
end

function M.varint(n)
  local out = {}
  repeat
    local byte = n & 0x7f
    n = n >> 7
    out[#out + 1] = string.char(n > 0 and byte | 0x80 or byte)
  until n == 0
  return table.concat(out)
end

function M.read_varint(s, at)
  local n, shift = 0, 0
  while true do
    local byte = s:byte(at)
    if not byte then return nil end
    n, at, shift = n | (byte & 0x7f) << shift, at + 1, shift + 7
    if byte == 0 and shift > 7 then error("a longer number than need be", 0) end
    if byte < 0x80 then return n, at end
  end
end

local function put_prop(out, name, value)
  local id, kind = PROPS[name][1], PROPS[name][2]
  if kind == "pairs" then
    for _, pair in ipairs(value) do
      out[#out + 1] = string.pack(">Bs2s2", id, pair[1], pair[2])
    end
  elseif kind == "v" then
    out[#out + 1] = string.char(id) .. M.varint(value)
  else
    out[#out + 1] = string.pack("B" .. kind, id, value)
  end
end

--- `props`: a map name → value (user: a list of pairs), or the bytes themselves.
function M.props(version, props)
  if version < 5 then return "" end
  if type(props) ~= "string" then
    local out, names = {}, {}
    for name in pairs(props or {}) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do put_prop(out, name, props[name]) end
    props = table.concat(out)
  end
  return M.varint(#props) .. props
end

local function read_props(version, s, at, packet)
  if version < 5 or at > #s then return {}, at end
  local len, pos = M.read_varint(s, at)
  local last, props = pos + len, {}
  while pos < last do
    local name = BY_ID[s:byte(pos)]
    expect(name and (" " .. MAY_HAVE[packet] .. " "):find(" " .. name .. " ", 1, true),
      "%s with property 0x%02x", packet, s:byte(pos))
    expect(props[name] == nil or name == "user", "%s with %s twice", packet, name)
    local kind = PROPS[name][2]
    pos = pos + 1
    if kind == "pairs" then
      local key, value
      key, value, pos = string.unpack(">s2s2", s, pos)
      props.user = props.user or {}
      table.insert(props.user, { key, value })
    elseif kind == "v" then
      local n
      n, pos = M.read_varint(s, pos)
      props.sub_ids = props.sub_ids or {}
      table.insert(props.sub_ids, n)
    else
      props[name], pos = string.unpack(kind, s, pos)
    end
  end
  return props, last
end

--- A packet of any first byte and body.
function M.packet(first, body) return string.char(first) .. M.varint(#body) .. body end

local function s2(text) return string.pack(">s2", text) end

function M.connect(o)
  local will = o.will
  local flags = (o.clean ~= false and 2 or 0) | (o.password and 64 or 0) | (o.user and 128 or 0)
  if will then flags = flags | 4 | (will.qos or 0) << 3 | (will.retain and 32 or 0) end
  local body = s2(o.version == 3 and "MQIsdp" or "MQTT")
    .. string.pack(">BBI2", o.version, o.flags or flags, o.keepalive or 60)
    .. M.props(o.version, o.props) .. s2(o.id or "")
  if will then
    body = body .. M.props(o.version, will.props) .. s2(will.topic) .. s2(will.payload or "")
  end
  if o.user then body = body .. s2(o.user) end
  if o.password then body = body .. s2(o.password) end
  return M.packet(0x10, body)
end

function M.publish(version, topic, payload, o)
  o = o or {}
  local qos = o.qos or 0
  local first = 0x30 | (o.dup and 8 or 0) | qos << 1 | (o.retain and 1 or 0)
  return M.packet(first, s2(topic) .. (qos > 0 and string.pack(">I2", o.packet_id or 1) or "")
    .. M.props(version, o.props) .. (payload or ""))
end

--- PUBACK, PUBREC, PUBREL, PUBCOMP.
function M.ack(name, packet_id, reason)
  local body = string.pack(">I2", packet_id) .. (reason and string.char(reason) or "")
  return M.packet(NUMBERS[name] << 4 | (name == "PUBREL" and 2 or 0), body)
end

--- `filters`: a list of { filter, options }.
function M.subscribe(version, packet_id, filters, props)
  local body = string.pack(">I2", packet_id) .. M.props(version, props)
  for _, f in ipairs(filters) do body = body .. s2(f[1]) .. string.char(f[2] or 0) end
  return M.packet(0x82, body)
end

function M.unsubscribe(version, packet_id, filters, props)
  local body = string.pack(">I2", packet_id) .. M.props(version, props)
  for _, filter in ipairs(filters) do body = body .. s2(filter) end
  return M.packet(0xA2, body)
end

function M.disconnect(version, reason, props)
  if version < 5 or not reason then return "\xE0\0" end
  return M.packet(0xE0, string.char(reason) .. (props and M.props(version, props) or ""))
end

local READERS = {}

function READERS.CONNACK(p, s, version)
  p.present, p.reason = s:byte(1) == 1, s:byte(2)
  expect(s:byte(1) <= 1, "CONNACK with flags 0x%02x", s:byte(1))
  p.props = read_props(version, s, 3, "CONNACK")
end

function READERS.PUBLISH(p, s, version, flags)
  p.qos, p.retain, p.dup = flags >> 1 & 3, flags & 1 == 1, flags & 8 == 8
  expect(p.qos < 3 and not (p.dup and p.qos == 0), "PUBLISH with flags 0x%02x", flags)
  local at
  p.topic, at = string.unpack(">s2", s)
  if p.qos > 0 then p.packet_id, at = string.unpack(">I2", s, at) end
  expect(p.packet_id ~= 0, "PUBLISH with packet identifier 0")
  p.props, at = read_props(version, s, at, "PUBLISH")
  p.payload = s:sub(at)
end

local function read_ack(p, s, version)
  p.packet_id, p.reason = string.unpack(">I2", s), s:byte(3) or 0
  p.props = read_props(version, s, 4, p.type)
end
for _, name in ipairs { "PUBACK", "PUBREC", "PUBREL", "PUBCOMP" } do READERS[name] = read_ack end

local function read_codes(p, s, version)
  local at
  p.packet_id = string.unpack(">I2", s)
  p.props, at = read_props(version, s, 3, p.type)
  p.codes = { s:byte(at, -1) }
  for _, code in ipairs(p.codes) do check_reason(version, p.type, code) end
end
READERS.SUBACK, READERS.UNSUBACK = read_codes, read_codes

function READERS.DISCONNECT(p, s, version)
  p.reason = s:byte(1) or 0
  p.props = read_props(version, s, 2, "DISCONNECT")
end

--- Takes one packet off `s` from `at`. @return packet and where the next begins; nil: wait
function M.decode(version, s, at)
  local len, body = M.read_varint(s, at + 1)
  if not len or #s < body + len - 1 then return nil end
  local first = s:byte(at)
  local p = { type = TYPES[first >> 4], size = body + len - at }
  local flags, read = first & 15, READERS[p.type]
  expect(p.type == "PUBLISH" or flags == (p.type == "PUBREL" and 2 or 0),
    "%s with flags 0x%02x", p.type, flags)
  if read then read(p, s:sub(body, body + len - 1), version, flags) end
  if p.reason then check_reason(version, p.type, p.reason) end
  return p, body + len
end

return M
