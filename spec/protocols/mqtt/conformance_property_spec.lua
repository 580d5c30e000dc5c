-- SPDX-License-Identifier: Apache-2.0
-- Every property of MQTT 5.0 in every packet that a client sends: taken where it belongs
-- (table 2-4), malformed elsewhere; an error given twice (but for user properties) or with a
-- value that it cannot have.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host
local OK, MALFORMED, PROTOCOL = 0, 0x81, 0x82

local function s2(text) return string.pack(">s2", text) end

-- Identifier, a good value, wrong values, and where it may stand.
local ACKS = "PUBACK PUBREC PUBREL PUBCOMP"
local PROPERTIES = {
  { 0x01, "\1", { "\2", "\xFF" }, "PUBLISH will" },
  { 0x02, "\0\0\0\9", {}, "PUBLISH will" },
  { 0x03, s2 "text", {}, "PUBLISH will" },
  { 0x08, s2 "re/ply", { s2 "", s2 "re/+", s2 "#" }, "PUBLISH will" },
  { 0x09, s2 "\0\1", {}, "PUBLISH will" },
  { 0x0B, "\1", { "\0" }, "SUBSCRIBE" },
  { 0x11, "\0\0\0\9", {}, "CONNECT DISCONNECT" },
  { 0x12, s2 "id", {}, "" },
  { 0x13, "\0\9", {}, "" },
  { 0x17, "\1", { "\2", "\xFF" }, "CONNECT" },
  { 0x18, "\0\0\0\9", {}, "will" },
  { 0x19, "\0", { "\2", "\xFF" }, "CONNECT" },
  { 0x1A, s2 "info", {}, "" },
  { 0x1C, s2 "other", {}, "DISCONNECT" },
  { 0x1F, s2 "why", {}, ACKS .. " DISCONNECT" },
  { 0x21, "\0\9", { "\0\0" }, "CONNECT" },
  { 0x22, "\0\9", {}, "CONNECT" },
  { 0x23, "\0\1", {}, "PUBLISH" },
  { 0x24, "\1", {}, "" },
  { 0x25, "\1", {}, "" },
  { 0x26, s2 "name" .. s2 "value", {},
    "CONNECT will PUBLISH SUBSCRIBE UNSUBSCRIBE DISCONNECT " .. ACKS },
  { 0x27, "\0\1\0\0", { "\0\0\0\0" }, "CONNECT" },
  { 0x28, "\1", {}, "" },
  { 0x29, "\1", {}, "" },
  { 0x2A, "\1", {}, "" },
}
-- Numbers that no property has.
for _, id in ipairs { 0x00, 0x04, 0x0A, 0x10, 0x14, 0x1B, 0x20, 0x2B, 0x7F } do
  PROPERTIES[#PROPERTIES + 1] = { id, "\1", {}, "" }
end

local function ack(first)
  return function(props) return wire.packet(first, "\0\9\0" .. wire.props(5, props)) end
end

-- Packets that a connected client sends, made with these properties.
local PACKETS = {
  PUBLISH = function(props) return wire.publish(5, "t", "x", { props = props }) end,
  PUBACK = ack(0x40), PUBREC = ack(0x50), PUBREL = ack(0x62), PUBCOMP = ack(0x70),
  SUBSCRIBE = function(props) return wire.subscribe(5, 1, { { "a", 0 } }, props) end,
  UNSUBSCRIBE = function(props) return wire.unsubscribe(5, 1, { "a" }, props) end,
  DISCONNECT = function(props) return wire.disconnect(5, 0, props) end,
}

-- What becomes of a packet with these properties: 0, or the reason of the refusal.
local function outcome(packet, props)
  local options = { id = "c", version = 5, props = "\x11\0\0\0\9" }
  if packet == "CONNECT" then options.props = props end
  if packet == "will" then options.will = { topic = "w", payload = "x", props = props } end
  local c = Mqtt.open(host.ports.mqtt, 5)
  c:send(wire.connect(options))
  local reason = c:read("CONNACK").reason
  if not PACKETS[packet] then
    c:drop()
    return reason
  end
  assert.equal(0, reason)
  c:send(PACKETS[packet](props))
  if packet ~= "DISCONNECT" then c:send "\xC0\0" end
  local got = {}
  repeat
    local there, p = pcall(c.read, c)
    if there then got[p.type] = p end
  until not there or got.PINGRESP or got.DISCONNECT
  c:drop()
  return got.DISCONNECT and got.DISCONNECT.reason or 0
end

local function names(list)
  local set = {}
  for name in list:gmatch "%S+" do set[name] = true end
  return set
end

describe("MQTT 5.0 properties", function()
  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)

  for packet in ("CONNECT will PUBLISH SUBSCRIBE UNSUBSCRIBE DISCONNECT " .. ACKS):gmatch "%S+" do
    it(("are taken in %s where they belong, and nowhere else [5.0: 4.13.1-1]"):format(packet),
      function()
        for _, p in ipairs(PROPERTIES) do
          local id, good = string.char(p[1]), p[2]
          local what = ("0x%02x in %s"):format(p[1], packet)
          local here = names(p[4])[packet]
          local want = here and OK or MALFORMED
          if p[1] == 0x0B and packet == "PUBLISH" then want = PROTOCOL end -- only a server's
          assert.equal(want, outcome(packet, id .. good), what)
          if here then
            local twice = p[1] == 0x26 and OK or PROTOCOL
            assert.equal(twice, outcome(packet, id .. good .. id .. good), what .. " twice")
            assert.equal(MALFORMED, outcome(packet, id .. good:sub(1, -2)), what .. " cut")
            for _, wrong in ipairs(p[3]) do
              assert.equal(PROTOCOL, outcome(packet, id .. wrong), what .. " wrong")
            end
          end
        end
      end)
  end

  it("are an empty list where there are none [5.0: 2.2.2-1]", function()
    local c = Mqtt.connect(host.ports.mqtt, { id = "c" })
    c:send(wire.subscribe(5, 7, { { "t", 1 } }))
    c.tcp:expect "\x90\4\0\7\0\1"
    c:send(wire.unsubscribe(5, 8, { "u" }))
    c.tcp:expect "\xB0\4\0\8\0\x11"
    c:publish("t", "x")
    c.tcp:expect "\x30\5\0\1t\0x"
    c:disconnect()
  end)

  it("go with authentication only together [5.0: 4.13.1-1]", function()
    assert.equal(PROTOCOL, outcome("CONNECT", "\x16\0\1x"))
    assert.equal(PROTOCOL, outcome("CONNECT", "\x15\0\1x\x15\0\1x"))
    assert.equal(0x8C, outcome("CONNECT", "\x15\0\1x\x16\0\1x"))
  end)

  it("end where their length says [5.0: 4.13.1-1]", function()
    for _, bytes in ipairs { "\x30\4\0\1t\1", "\x30\6\0\1t\3\1\1", "\x40\5\0\1\0\1\1",
      "\x82\6\0\1\3\x0B\1\0", "\xE0\3\0\2\x1F" } do
      local c = Mqtt.connect(host.ports.mqtt, { id = "c" })
      c:send(bytes)
      c:dismissed(MALFORMED)
    end
  end)
end)
