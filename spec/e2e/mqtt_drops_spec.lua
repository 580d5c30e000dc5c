-- SPDX-License-Identifier: Apache-2.0
-- Whatever is dropped is counted by its reason and told in an event, with who was to get it;
-- and limits that no other spec reaches through a socket.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local cjson = require "cjson"
local wire = Mqtt.wire

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

local function keeper(more)
  return Mqtt.connect(host.ports.mqtt,
    { id = "keeper", clean = false, props = { session_expiry = 100 } }, more)
end

--- A session that is away, and wants `qos`.
local function away(qos)
  local c = keeper()
  c:subscribe("drop", qos)
  c:disconnect()
end

-- What makes the host drop one message, by the reason that it must say, and its QoS.
local CASES = {
  { "offline_qos0", 0, function(pub)
    away(1)
    pub:publish("drop", "x")
  end },
  { "expired", 2, function(pub)
    away(2)
    pub:publish("drop", "x", { qos = 2, props = { message_expiry = 1 } })
    Host.pass(1100)
    assert.same({}, keeper():settle())
  end },
  { "session_end", 1, function(pub)
    away(1)
    pub:publish("drop", "x", { qos = 1 })
    keeper { clean = true }
  end },
  { "refused", 1, function(pub)
    local c = keeper()
    c:subscribe("drop", 1)
    pub:publish("drop", "x", { qos = 1 })
    c:send(wire.ack("PUBACK", c:read("PUBLISH").packet_id, 0x83))
  end },
  { "link", 1, function(pub) -- no packet that its client takes
    local c = keeper { props = { session_expiry = 100, maximum_packet = 30 } }
    c:subscribe("drop", 1)
    pub:publish("drop", ("x"):rep(100), { qos = 1 })
    assert.same({}, c:settle())
  end },
  { "queue_full", 1, function(pub)
    away(1)
    for _ = 1, 6 do pub:publish("drop", "x", { qos = 1 }) end
  end },
  { "queue_bytes", 1, function(pub)
    away(1)
    pub:publish("drop", ("x"):rep(5000), { qos = 1 })
  end },
}

local function start(limits)
  host = Host.start { config = { workers = 1, sys = { readers = "all" }, limits = limits } }
end

local function is_told(case)
  it("is counted and told: " .. case[1], function()
    local reason, qos = case[1], case[2]
    local series = ('tidegate_messages_dropped_total{reason="%s",qos="%d"}'):format(reason, qos)
    local before = host:metric(series) or 0
    local ops, pub = client { id = "ops" }, client { id = "pub" }
    ops:subscribe("$SYS/events/message_dropped", 0)
    case[3](pub)
    local event = cjson.decode(ops:receive().payload)
    assert.same({ "keeper", "drop", "pub", reason, qos },
      { event.client, event.topic, event.publisher, event.reason, event.qos })
    assert.equal(before + 1, host:metric(series))
    client({ id = "keeper" }):disconnect()
    ops:disconnect()
    pub:disconnect()
  end)
end

describe("a message that is too old", function()
  setup(function() start { queue_age = "1s" } end)
  teardown(function() host:stop() Host.cleanup() end)

  is_told { "queue_age", 1, function(pub)
    away(1)
    pub:publish("drop", "x", { qos = 1 })
    Host.pass(1100)
    assert.same({}, keeper():settle())
  end }
end)

describe("a message that is dropped", function()
  setup(function()
    start { queue_messages = 5, queue_bytes = "4KiB", retained_count = 3, rx_inflight = 4 }
  end)
  teardown(function() host:stop() Host.cleanup() end)

  for _, case in ipairs(CASES) do is_told(case) end

  it("because too many are retained is refused by its reason", function()
    local c = client { id = "c" }
    for i = 1, 3 do
      assert.equal(0x10, c:publish("kept/" .. i, "x", { qos = 1, retain = true }).reason)
    end
    assert.equal(0x97, c:publish("kept/4", "x", { qos = 1, retain = true }).reason)
    assert.equal(0x10, c:publish("kept/3", "y", { qos = 1, retain = true }).reason)
    c:publish("kept/3", "", { qos = 1, retain = true })
    assert.equal(0x10, c:publish("kept/4", "x", { qos = 1, retain = true }).reason)
    for _, i in ipairs { 1, 2, 4 } do c:publish("kept/" .. i, "", { qos = 1, retain = true }) end
    c:disconnect()
  end)

  it("is never one of QoS 2 that its client may not send: that is closed", function()
    local c = client { id = "c", version = 4 }
    for i = 1, 5 do c:send(wire.publish(4, "many", "x", { qos = 2, packet_id = i })) end
    for i = 1, 4 do assert.equal(i, c:read("PUBREC").packet_id) end
    c:closed()
  end)
end)
