-- SPDX-License-Identifier: Apache-2.0
-- The first working day: GT06 trackers on one side, independent MQTT clients on the other, on
-- two workers and through real sockets.
local Host = require "support.host"
local Tracker = require "support.tracker"
local cjson = require "cjson"

local function worker_of(host, client)
  local status, body = host:api("GET", "/api/v1/clients/" .. client)
  return status == 200 and body.worker or nil
end

local function subscribe(host, filter, qos)
  local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", filter, "-q", qos or 1,
    "-F", "%t %p", "-i", "watcher", "-V", "mqttv5" })
  Host.eventually(function()
    local _, topics = host:api("GET", "/api/v1/topics")
    for _, item in ipairs(topics.items) do
      if item.filter == filter then return true end
    end
  end, "the subscription " .. filter)
  return sub
end

--- A tracker that the kernel gave to another worker than `client`'s.
local function tracker_elsewhere(host, client)
  local home = assert(worker_of(host, client))
  for i = 1, 64 do
    local imei = ("8600000000%05d"):format(i)
    local tracker = Tracker.connect(host.ports.gt06, imei):login()
    if Host.eventually(function() return worker_of(host, imei) end, imei) ~= home then
      return tracker
    end
    tracker:close()
  end
  error "64 connections went to one worker"
end

describe("a tracker and an MQTT client", function()
  local host

  before_each(function() host = Host.start {} end)
  after_each(Host.cleanup)

  it("talk both ways across two workers, in order", function()
    local sub = subscribe(host, "gt06/#")
    local tracker = tracker_elsewhere(host, "watcher")
    local imei = tracker.imei
    for speed = 1, 200 do tracker:report(speed) end
    for speed = 1, 200 do
      local topic, payload = sub:line("gt06/" .. imei .. "/location"):match "^(%S+) (.*)$"
      local report = cjson.decode(payload)
      assert.equal("gt06/" .. imei .. "/location", topic)
      assert.equal(speed, report.speed_kmh)
      assert.near(31.2304, report.latitude, 1e-6)
      assert.near(121.4737, report.longitude, 1e-6)
    end

    local code = Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-q", "1", "-t",
      "gt06/" .. imei .. "/down", "-m", '{"command":"send","args":{"text":"WHERE#"}}' })
    assert.equal(0, code)
    local text, flag = tracker:command()
    assert.equal("WHERE#", text)
    assert.matches('"state":"sent"', sub:line("/command"))
    tracker:answer(flag, "Lat:N31.2304")
    local fate = sub:line '"state":"replied"'
    assert.matches("Lat:N31.2304", fate)
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("are not touched by garbage, half frames and floods of others", function()
    local sub = subscribe(host, "gt06/+/location")
    local tracker = tracker_elsewhere(host, "watcher")
    local position = Tracker.position(7, 9)
    local wrong = position:sub(1, -5) .. "\0\0\r\n"
    local others = {}
    for i = 1, 20 do
      others[i] = Tracker.connect(host.ports.gt06, ("8610000000%05d"):format(i)):login()
      others[i].tcp:send(position:sub(1, i + 3))
      others[i].tcp:send(("\x78\x78\xFF"):rep(50) .. wrong:rep(20))
    end
    local noise = Host.connect(host.ports.gt06)
    noise:send(("GET / HTTP/1.1\r\n"):rep(4000))
    noise:await_close()
    for cut = 1, #position - 1 do
      tracker.tcp:send(position:sub(1, cut))
      tracker.tcp:send(position:sub(cut + 1))
      sub:line("gt06/" .. tracker.imei)
    end
    tracker:beat()
    local wrong_ones = 'tidegate_listener_events_total{listener="gt06",event="checksum"}'
    Host.eventually(function() return (host:metric(wrong_ones) or 0) > 0 end,
      "a wrong checksum to be counted")
    for _, other in ipairs(others) do other:close() end
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("keep one owner for an IMEI that logs in again, and the new one gets commands", function()
    local first = Tracker.connect(host.ports.gt06, "860000000000001"):login()
    local second = Tracker.connect(host.ports.gt06, "860000000000001"):login()
    first.tcp:await_close()
    second:beat()
    Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-t", "gt06/860000000000001/down", "-m",
      '{"command":"status"}' })
    assert.equal("STATUS#", (second:command()))
    host:stop()
  end)

  it("are known as connected when they log in again, on whatever worker", function()
    local imei = "860000012345678"
    for _ = 1, 6 do
      Tracker.connect(host.ports.gt06, imei):login()
      Host.eventually(function()
        local _, device = host:api("GET", "/api/v1/devices/" .. imei)
        return device.connected
      end, "the tracker to be there")
    end
    host:stop()
  end)

  it("let a known user in and nobody else, where anonymous is off", function()
    host:stop()
    host = Host.start { config = {
      users = { { user = "app", password = "secret" } },
      listeners = { { name = "mqtt", adapter = "mqtt" }, { name = "gt06", adapter = "gt06" } },
    } }
    local code = Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-t", "x", "-m", "y" })
    assert.is_not.equal(0, code)
    code = Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-t", "x", "-m", "y", "-u", "app",
      "-P", "secret" })
    assert.equal(0, code)
    local tracker = Tracker.connect(host.ports.gt06, "860000000000002")
    tracker.tcp:send(Tracker.frame(0x01, Host.bytes "0860000000000002", 1))
    assert.equal("", (tracker.tcp:read_all()))
    host:stop()
  end)
end)
