-- SPDX-License-Identifier: Apache-2.0
-- What the host says about itself in topics: figures under names that dashboards know, events,
-- and who may hear of them.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local cjson = require "cjson"

local host

local function start(readers, options)
  host = Host.start { config = {
    sys = { interval = "200ms", readers = readers },
    limits = options,
    users = {
      { user = "ops", password = "x", subscribe = { "$SYS/#", "t/#" } },
      { user = "part", password = "x", subscribe = { "$SYS/broker/#" } },
      { user = "meter", password = "x", subscribe = { "#" } },
      { user = "plain", password = "x" },
    },
  } }
end

local function client(user, id)
  return Mqtt.connect(host.ports.mqtt, { id = id or user or "nobody", user = user,
    password = user and "x" })
end

--- Takes figures until `want` holds of what was said last. @return topic → text
local function figures(c, want)
  local all = {}
  repeat
    local m = c:receive()
    all[m.topic:match "^%$SYS/broker/(.*)$" or m.topic] = m.payload
  until want(all)
  return all
end

--- The topics that the manual lists, and what may stand for them.
local function documented()
  local text = Host.read("docs/operating.md"):match "\n### %$SYS\n(.-)\n##"
  local names = {}
  for row in text:gmatch "\n| (`[^|]+) |" do
    for name in row:gmatch "`([^`]+)`" do names[#names + 1] = name end
  end
  return names
end

describe("$SYS topics", function()
  after_each(function() host:stop() Host.cleanup() end)

  it("tell the host's figures, as the manual lists them", function()
    start "acl"
    local ops = client "ops"
    ops:subscribe("t/#", 1)
    local meter = client "plain"
    for _ = 1, 5 do meter:publish("t/x", "12345", { qos = 1 }) end
    meter:publish("t/kept", "x", { retain = true })
    for _ = 1, 6 do ops:receive() end
    assert.same({ 0 }, ops:subscribe("$SYS/broker/#", 0))
    local all = figures(ops, function(all)
      return all["publish/messages/sent"] and tonumber(all["publish/messages/sent"]) >= 6
        and all["publish/messages/received"] == "6" and all["load/sockets/15min"]
        and all["retained messages/count"] == "1" and all["clients/connected"] == "2"
        and tonumber(all["load/connections/1min"]) > 0
    end)
    assert.matches("^tidegate version %d", all.version)
    assert.matches("^%d+ seconds$", all.uptime)
    assert.equal("2", all["subscriptions/count"])
    assert.equal("26", all["publish/bytes/received"])
    assert.is_true(tonumber(all["bytes/received"]) > 100)
    for _, name in ipairs(documented()) do
      assert.is_string(all[name], name .. " is in docs/operating.md, and was not said")
      all[name] = nil
    end
    assert.same({}, all) -- and no others
  end)

  it("are not under a wildcard in front, nor a client's to publish", function()
    start "all"
    local c = client()
    c:subscribe({ { "#", 0 }, { "+/broker/uptime", 0 } })
    assert.equal(0x87, c:publish("$SYS/broker/uptime", "1", { qos = 1 }).reason)
    local other = client(nil, "other")
    assert.same({ 0 }, other:subscribe("$SYS/broker/uptime"))
    for _ = 1, 2 do assert.matches("seconds", other:receive().payload) end
    assert.same({}, c:settle())
  end)

  local CASES = { -- of nobody without a name, plain, meter, part, ops
    nobody = { 0x87, 0x87, 0x87, 0x87, 0x87 },
    acl = { 0x87, 0x87, 0x87, 0x87, 0 },
    users = { 0x87, 0, 0x87, 0x87, 0 },
    all = { 0, 0, 0x87, 0x87, 0 }, -- what a list forbids stays forbidden
  }
  for readers, codes in pairs(CASES) do
    it("may be read by " .. readers, function()
      start(readers)
      for i, user in ipairs { false, "plain", "meter", "part", "ops" } do
        local c = client(user or nil)
        assert.same({ codes[i] }, c:subscribe "$SYS/events/message_dropped", user)
        assert.same({ codes[i] }, c:subscribe "$share/g/$SYS/events/x", user)
        assert.same({ user == "part" and 0x87 or 0 }, c:subscribe "t/1", user)
        c:disconnect()
      end
      local events = host:cli_spawn("subscribe", "$SYS/events/client_connected", "--json")
      Host.eventually(function()
        local _, topics = host:api("GET", "/api/v1/topics")
        return topics.items[1] and topics.items[1].filter:find "events"
      end, "the API's subscription")
      client "plain"
      events:line 'client_connected.*client\\":\\"plain'
      events:kill()
      events:wait()
    end)
  end

  it("tell of clients and of messages that are dropped", function()
    start("acl", { queue_messages = 3, inflight = 1 })
    local ops = client "ops"
    ops:subscribe("$SYS/events/#", 0)
    local function event(name)
      while true do
        local m = ops:receive()
        if m.topic == "$SYS/events/" .. name then return cjson.decode(m.payload) end
      end
    end
    local slow = client("plain", "slow")
    assert.equal("plain", event("client_connected").user)
    slow:subscribe("t/x", 1)
    assert.equal("t/x", event("session_subscribed").filter)
    local pub = client("plain", "pub")
    for _ = 1, 5 do pub:publish("t/x", "x", { qos = 1 }) end -- nothing is acknowledged
    local dropped = event "message_dropped"
    assert.same({ "slow", "t/x", "pub", "queue_full", 1 }, { dropped.client, dropped.topic,
      dropped.publisher, dropped.reason, dropped.qos })
    host:log_line '"msg":"message dropped","client":"slow","topic":"t/x","reason":"queue_full"'
    slow.tcp:close()
    assert.equal("slow", event("client_disconnected").client)
  end)
end)
