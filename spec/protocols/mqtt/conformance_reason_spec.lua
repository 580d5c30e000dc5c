-- SPDX-License-Identifier: Apache-2.0
-- Every reason that the server gives, provoked once: the packet that brings it, and that the
-- packet is as short as its client can take.
local uv = require "luv"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports[options.port or "mqtt"], options) end

-- Auth that fails for one user, asked after the host's own list.
local BROKEN_AUTH = [[
local tg = require "tidegate"
tg.auth { id = "broken", api = 1, check = function(request)
  if request.user == "broken" then error "no database" end
  return "next"
end }
]]

local LIMITS = { max_qos = 1, retain = false, shared_subscriptions = false,
  wildcard_subscriptions = false, subscription_ids = false, topic_alias_maximum = 2,
  receive_maximum = 2, max_packet_size = "1KiB", client_id_max = 23, check_payload_format = true }

local function start()
  local folder = Host.folder() .. "/broken"
  assert(uv.fs_mkdir(folder, 448))
  Host.write(folder .. "/init.lua", BROKEN_AUTH)
  host = Host.start { config = {
    users = { { user = "bob", password = "hidden", publish = { "bob/#" },
      subscribe = { "bob/#" } } },
    workers = 1, -- a queue on another one is not known to be full when the answer leaves
    auth = { "users", "broken" },
    plugins = { { name = "mqtt" }, { name = folder } },
    limits = { subscriptions = 3, queue_messages = 2, topic_levels = 10 },
    listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "locked", adapter = "mqtt" },
      { name = "small", adapter = "mqtt", anonymous = true, options = LIMITS },
    },
  } }
end

local DEEP = ("a/"):rep(10) .. "a"

-- Refusals of CONNECT: reason, MQTT 3's code (nil: closed without a word), options.
local CONNACKS = {
  { 0x81, nil, { flags = 3 } },
  { 0x82, nil, { props = { receive_maximum = 0 } } },
  { 0x84, 1, { version = 6 } },
  { 0x85, 2, { port = "small", id = ("x"):rep(24) } },
  { 0x86, 4, { port = "locked", user = "bob", password = "wrong" } },
  { 0x87, 5, { port = "locked" } },
  { 0x87, 5, { port = "locked", user = "bob", password = "hidden", will = { topic = "no" } } },
  { 0x88, 3, { port = "locked", user = "broken", password = "x" } },
  { 0x8C, nil, { props = { auth_method = "x" } } },
  { 0x90, nil, { will = { topic = "a/#" } } },
  { 0x9A, 5, { port = "small", will = { topic = "w", retain = true } } },
  { 0x9B, 5, { port = "small", will = { topic = "w", qos = 2 } } },
}

-- DISCONNECTs: reason, port, what the client sends.
local DISCONNECTS = {
  { 0x81, "mqtt", "\0\0" },
  { 0x82, "mqtt", "\xF0\0" },
  { 0x90, "mqtt", wire.publish(5, "a/+", "x") },
  { 0x94, "small", wire.publish(5, "t", "x", { props = { alias = 3 } }) },
  { 0x95, "small", wire.publish(5, "t", ("x"):rep(1100)) },
  { 0x99, "small", wire.publish(5, "t", "\xFF", { props = { payload_format = 1 } }) },
  { 0x9A, "small", wire.publish(5, "t", "x", { retain = true }) },
  { 0x9B, "small", wire.publish(5, "t", "x", { qos = 2 }) },
}

describe("MQTT 5.0 reasons", function()
  setup(start)
  teardown(function() host:stop() Host.cleanup() end)

  for _, case in ipairs(CONNACKS) do
    it(("of CONNACK: 0x%02X [5.0: 3.2.2-6, 3.2.2-7, 3.2.2-8]"):format(case[1]), function()
      local options = { id = "c", version = 5 }
      for key, value in pairs(case[3]) do options[key] = value end
      local c = Mqtt.open(host.ports[options.port or "mqtt"], 5)
      c:send(wire.connect(options))
      local connack = c:read "CONNACK"
      assert.equal(case[1], connack.reason)
      assert.is_false(connack.present)
      assert.is_nil(connack.props.auth_method)
      c:closed()
    end)

    if case[3].props == nil and case[3].version == nil then
      it(("of CONNACK: 0x%02X in the words of MQTT 3 [3.1.1: 3.2.2-4, 3.2.2-5, 3.2.2-6]"):format(
        case[1]), function()
        local options = { id = "c", version = 4 }
        for key, value in pairs(case[3]) do options[key] = value end
        local c = Mqtt.open(host.ports[options.port or "mqtt"], 4)
        c:send(wire.connect(options))
        assert.equal(case[2] and "\x20\2\0" .. string.char(case[2]) or "", (c.tcp:read_all()))
      end)
    end
  end

  for _, case in ipairs(DISCONNECTS) do
    it(("of DISCONNECT: 0x%02X [5.0: 3.14.2-1, 3.14.2-2, 3.14.4-1, 3.14.4-2, 4.13.1-1, 4.13.2-1]")
      :format(case[1]), function()
        local c = client { id = "c", port = case[2], props = { session_expiry = 100 } }
        c:send(case[3] .. "\xC0\0" .. wire.subscribe(5, 1, { { "a", 0 } }))
        local packet = c:read "DISCONNECT"
        assert.equal(case[1], packet.reason)
        assert.is_nil(packet.props.session_expiry)
        assert.is_true(#packet.props.reason > 0)
        c:closed() -- nothing behind it
      end)
  end

  it("of DISCONNECT leave out words that do not fit [5.0: 3.14.2-3, 3.14.2-4, 3.1.2-24]",
    function()
      local c = client { id = "c", props = { maximum_packet = 20 } }
      c:send "\0\0"
      c.tcp:expect "\xE0\1\x81"
      c:closed()
    end)

  it("of DISCONNECT: 0x93, more at once than announced [5.0: 3.3.4-7]", function()
    local c = client { id = "c" }
    local max, bytes = c.connack.props.receive_maximum, {}
    for i = 1, max + 1 do bytes[i] = wire.publish(5, "t", "", { qos = 2, packet_id = i }) end
    c:send(table.concat(bytes))
    for _ = 1, max do c:read "PUBREC" end
    c:dismissed(0x93)
  end)

  it("of DISCONNECT: 0x98, sent away [5.0: 3.14.2-1, 3.14.4-2]", function()
    local c = client { id = "kicked" }
    assert.equal(204, (host:api("DELETE", "/api/v1/clients/kicked")))
    c:dismissed(0x98)
  end)

  it("of PUBACK and PUBREC [5.0: 3.4.2-1, 3.5.2-1]", function()
    local sub = client { id = "full", clean = false, props = { session_expiry = 100 } }
    sub:subscribe("full", 2)
    sub:disconnect()
    local bob = client { id = "bob", port = "locked", user = "bob", password = "hidden" }
    local small = client { id = "small", port = "small" }
    local cases = {
      { 0x10, bob, "bob/nobody" }, { 0x87, bob, "other" }, { 0x97, bob, "bob/" .. DEEP },
      { 0x99, small, "t", { payload_format = 1 } },
    }
    for qos = 1, 2 do
      for _, case in ipairs(cases) do
        if case[2] == bob or qos == 1 then
          local ack = case[2]:publish(case[3], "\xFF", { qos = qos, props = case[4] })
          if case[1] == 0x10 and qos == 2 then ack.reason = 0x10 end -- PUBCOMP cannot say it
          assert.equal(case[1], ack.reason, case[3])
        end
      end
    end
    local other = client { id = "other" }
    assert.equal(0, other:publish("full", "1", { qos = 1 }).reason)
    assert.equal(0, other:publish("full", "2", { qos = 2 }).reason)
    assert.equal(0x97, other:publish("full", "3", { qos = 1 }).reason)
    assert.equal(0x97, other:publish("full", "4", { qos = 2 }).reason)
    other:send(wire.publish(5, "nobody", "x", { qos = 2, packet_id = 9 }))
    assert.equal(0x10, other:read("PUBREC").reason)
    for _, c in ipairs { bob, small, other } do c:drop() end
  end)

  it("of PUBREL and PUBCOMP [5.0: 3.6.2-1, 3.7.2-1]", function()
    local c = client { id = "c" }
    c:send(wire.ack("PUBREC", 4711))
    assert.equal(0x92, c:read("PUBREL").reason)
    c:send(wire.ack("PUBREL", 4711))
    assert.equal(0x92, c:read("PUBCOMP").reason)
    c:disconnect()
  end)

  it("of SUBACK and UNSUBACK [5.0: 3.8.4-7, 3.9.3-2, 3.11.3-2]", function()
    local bob = client { id = "bob", port = "locked", user = "bob", password = "hidden" }
    assert.same({ 0, 1, 2, 0x8F, 0x97, 0x87, 0x87, 0x97 }, bob:subscribe { { "bob/0", 0 },
      { "bob/1", 1 }, { "bob/2", 2 }, { "bob/#/x", 0 }, { "bob/" .. DEEP, 0 }, { "other", 0 },
      { "#", 0 }, { "bob/3", 0 } })
    assert.same({ 0, 0x11, 0x8F, 0x8F }, bob:unsubscribe("bob/0", "bob/3", "a/#/b", ""))
    local small = client { id = "small", port = "small" }
    assert.same({ 0x9E, 0xA2, 1 },
      small:subscribe { { "$share/g/a", 0 }, { "a/+", 0 }, { "a", 2 } })
    assert.same({ 0xA1 }, small:subscribe({ { "a", 0 } }, nil, { sub_id = 1 }))
    bob:disconnect()
    small:disconnect()
  end)

  it("come without words and user properties but in CONNACK and DISCONNECT "
    .. "[5.0: 3.1.2-29, 3.4.2-2, 3.4.2-3, 3.5.2-2, 3.5.2-3, 3.6.2-2, 3.6.2-3, 3.7.2-2, 3.7.2-3, "
    .. "3.9.2-1, 3.9.2-2, 3.11.2-1, 3.11.2-2]", function()
    for _, want in ipairs { 0, 1 } do
      local c = client { id = "bob", port = "locked", user = "bob", password = "hidden",
        props = { want_problem = want, maximum_packet = 64 } }
      c:send(wire.publish(5, "other", "x", { qos = 1, packet_id = 1 }))
      c.tcp:expect "\x40\3\0\1\x87"
      c:send(wire.publish(5, "other", "x", { qos = 2, packet_id = 2 }))
      c.tcp:expect "\x50\3\0\2\x87"
      c:send(wire.publish(5, "bob/x", "x", { qos = 1, packet_id = 3 }))
      c.tcp:expect "\x40\3\0\3\x10"
      c:send(wire.ack("PUBREC", 4))
      c.tcp:expect "\x62\3\0\4\x92"
      c:send(wire.ack("PUBREL", 5))
      c.tcp:expect "\x70\3\0\5\x92"
      c:send(wire.subscribe(5, 6, { { "other", 0 } }))
      c.tcp:expect "\x90\4\0\6\0\x87"
      c:send(wire.unsubscribe(5, 7, { "other" }))
      c.tcp:expect "\xB0\4\0\7\0\x11"
      c:disconnect()
    end
  end)
end)
