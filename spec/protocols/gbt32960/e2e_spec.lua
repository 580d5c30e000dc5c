-- SPDX-License-Identifier: Apache-2.0
-- Through the real binary: vehicles and a platform on one port, MQTT clients on the other
-- side.
local Host = require "support.host"
local cjson = require "cjson"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local VIN, OTHER, PLATFORM = "LTEST000000009016", "LTEST000000009017", "TESTPLATFORM00001"
local TIME = vectors.TIME
local VEHICLE = "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18\x12\0"

local function bytes(hex) return vectors.unhex(hex) end

local function frame(...) return bytes(vectors.frame(...)) end

local function report(vin) return frame("##", 2, 0xFE, vin, TIME .. VEHICLE) end

local function login(conn, vin, serial)
  conn:send(bytes(vectors.login("##", vin, serial)))
  conn:expect(frame("##", 1, 1, vin, TIME))
  return conn
end

local function beat(conn, vin)
  conn:send(frame("##", 7, 0xFE, vin, ""))
  conn:expect(frame("##", 7, 1, vin, ""))
end

--- @return the link, and the flag of the answer
local function platform(host, password)
  local conn = Host.connect(host.ports.gbt32960)
  local user = string.pack("c12c20B", "operator", password or "secret", 1)
  conn:send(frame("##", 5, 0xFE, PLATFORM, TIME .. "\0\1" .. user))
  local answer = conn:read(31)
  assert.equal("##\5", answer:sub(1, 3))
  assert.equal(TIME, answer:sub(25, 30))
  return conn, answer:byte(4)
end

local function subscribe(host, filter)
  local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", filter, "-q", 1,
    "-F", "%t %p", "-i", "watcher", "-V", "mqttv5" })
  Host.eventually(function()
    local _, topics = host:api("GET", "/api/v1/topics")
    for _, item in ipairs(topics.items) do
      if item.filter == filter then return true end
    end
  end, "the subscription " .. filter)
  return sub
end

local function message(sub, topic)
  local _, payload = sub:line(topic):match "^(%S+) (.*)$"
  return cjson.decode(payload)
end

local function command(host, vin, json)
  local code = Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-q", "1", "-t",
    "gbt32960/" .. vin .. "/down", "-m", json })
  assert.equal(0, code)
end

--- A frame from the host. @return its command and unit
local function take(conn)
  local head = conn:read(24)
  local rest = conn:read(string.unpack(">I2", head, 23) + 1)
  return head:byte(3), rest:sub(1, -2)
end

describe("gbt32960 in a running host", function()
  local host

  before_each(function()
    host = Host.start { config = {
      plugins = { mqtt = {}, gbt32960 = { watched = { VIN } } },
      users = { { user = "operator", password = "secret" } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "gbt32960", adapter = "gbt32960", anonymous = true },
      },
    } }
  end)
  after_each(Host.cleanup)

  it("hears vehicles, each frame cut where it hurts, and tells subscribers", function()
    local sub = subscribe(host, "gbt32960/#")
    local conn = login(Host.connect(host.ports.gbt32960), VIN)
    assert.equal("89860000000000009016", message(sub, VIN .. "/login").iccid)
    local one = report(VIN)
    for cut = 1, #one - 1, 7 do
      conn:send(one:sub(1, cut))
      conn:send(one:sub(cut + 1))
      local got = message(sub, VIN .. "/report")
      assert.equal(63.4, got.vehicle.speed_kmh)
      assert.equal("2024-03-15T08:19:59+08:00", got.time)
    end
    conn:send("#" .. one .. one:sub(1, -2) .. "\0" .. one)
    message(sub, VIN .. "/report")
    message(sub, VIN .. "/report")
    conn:expect(frame("##", 2, 2, VIN, TIME)) -- to the one whose checksum is wrong
    beat(conn, VIN)
    local status, told = host:api("POST", "/api/v1/devices/" .. VIN .. "/commands",
      { name = "quality" })
    assert.equal(200, status)
    assert.equal(1, told.answer.checksum_errors)
    assert.is_true(told.answer.reports > 5)
    assert.equal(1, host:metric('tidegate_gbt32960_vehicle_damaged{vin="' .. VIN .. '"}'))
    assert.equal(1, host:metric "tidegate_gbt32960_damaged")
    for _, name in ipairs { "reports", "abnormal", "invalid", "flaws", "gap_ms",
      "clock_offset_ms" } do
      local value = host:metric(("tidegate_gbt32960_vehicle_%s{vin=%q}"):format(name, VIN))
      assert.equal(told.answer[name], value, name)
    end
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("asks a vehicle for its parameters", function()
    local sub = subscribe(host, "gbt32960/+/command")
    local conn = login(Host.connect(host.ports.gbt32960), VIN)
    command(host, VIN, '{"command":"query","args":{"ids":["heartbeat_period_s"]},'
      .. '"correlation_id":"q7"}')
    local cmd, unit = take(conn)
    assert.equal(0x80, cmd)
    assert.equal("\1\9", unit:sub(7))
    assert.equal("sent", message(sub, "/command").state)
    conn:send(frame("##", 0x80, 1, VIN, unit:sub(1, 6) .. "\1\9\30"))
    local fate = message(sub, "/command")
    assert.equal("acked", fate.state)
    assert.equal("q7", fate.correlation_id)
    assert.same({ heartbeat_period_s = 30 }, fate.parameters)
    command(host, VIN, "nonsense")
    assert.equal("refused", message(sub, "/command").state)
    beat(conn, VIN)
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("serves a platform with many VINs, and gives one up to a newer login", function()
    local sub = subscribe(host, "gbt32960/+/report")
    local stranger, refused = platform(host, "guess")
    assert.equal(2, refused)
    stranger:await_close()
    local link, ok = platform(host)
    assert.equal(1, ok)
    login(link, VIN)
    login(link, OTHER)
    link:send(report(VIN) .. report(OTHER))
    link:expect(frame("##", 2, 1, VIN, TIME) .. frame("##", 2, 1, OTHER, TIME))
    message(sub, VIN)
    message(sub, OTHER)
    command(host, OTHER, '{"command":"reset"}')
    assert.equal(0x82, (take(link)))

    local vehicle = login(Host.connect(host.ports.gbt32960), VIN, 2)
    link:send(report(VIN) .. report(OTHER))
    link:expect(frame("##", 2, 2, VIN, TIME) .. frame("##", 2, 1, OTHER, TIME))
    vehicle:send(report(VIN))
    beat(vehicle, VIN)
    message(sub, OTHER)
    message(sub, VIN)
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("shows the clock of a vehicle as it is, whatever worker it comes to", function()
    for serial = 1, 8 do -- two workers: it comes to both
      local conn = login(Host.connect(host.ports.gbt32960), VIN, serial)
      conn:send(report(VIN))
      beat(conn, VIN)
      local told = Host.eventually(function()
        local _, got = host:api("POST", "/api/v1/devices/" .. VIN .. "/commands",
          { name = "quality" })
        return got.answer
      end, "the vehicle's quality")
      local name = ('tidegate_gbt32960_vehicle_clock_offset_ms{vin="%s"}'):format(VIN)
      Host.eventually(function() return host:metric(name) == told.clock_offset_ms end,
        "the vehicle's clock")
      if serial % 2 == 0 then -- else it is taken over
        conn:close()
        Host.eventually(function() return host:metric(name) == 0 end, "the vehicle to be gone")
      end
    end
    host:stop()
  end)

  it("ends all sessions of a platform with its link", function()
    local link = platform(host)
    login(link, VIN)
    login(link, OTHER)
    local function connected()
      local _, devices = host:api("GET", "/api/v1/devices?adapter=gbt32960")
      local n = 0
      for _, device in ipairs(devices.items) do n = n + (device.connected and 1 or 0) end
      return n
    end
    Host.eventually(function() return connected() == 3 end, "three devices")
    link:close()
    Host.eventually(function() return connected() == 0 end, "none")
    host:stop()
  end)

  it("keeps one link for a VIN: the newest", function()
    local first = login(Host.connect(host.ports.gbt32960), VIN)
    local second = login(Host.connect(host.ports.gbt32960), VIN, 2)
    first:await_close()
    beat(second, VIN)
    assert.equal(1, host:metric "tidegate_gbt32960_takeovers")
    host:stop()
  end)
end)

describe("gbt32960 on a listener with limits", function()
  local host

  local function start(limits, anonymous)
    host = Host.start { config = {
      plugins = { gbt32960 = {} },
      users = { { user = "LTEST000000009016", password = "secret" } },
      listeners = { { name = "gbt32960", adapter = "gbt32960", anonymous = anonymous ~= false,
        limits = limits } },
    } }
    return Host.connect(host.ports.gbt32960)
  end
  after_each(function()
    host:stop()
    Host.cleanup()
  end)

  it("refuses vehicles that auth does not know, with the error of their edition", function()
    local conn = start({}, false)
    conn:send(bytes(vectors.login("##", VIN)))
    conn:expect(frame("##", 1, 2, VIN, TIME))
    conn:await_close()
    conn = Host.connect(host.ports.gbt32960)
    conn:send(bytes(vectors.login("$$", VIN)))
    conn:expect(frame("$$", 1, 4, VIN, TIME))
    conn:await_close()
    assert.equal(2, host:metric "tidegate_gbt32960_refused")
  end)

  it("ends a link after so many bad frames in a row, not for single ones", function()
    local conn = login(start { bad_frames = 3 }, VIN)
    local good = frame("##", 7, 0xFE, VIN, "")
    local bad = good:sub(1, -2) .. "\0"
    for _ = 1, 4 do conn:send(bad .. good) end
    conn:expect(frame("##", 7, 1, VIN, ""):rep(4))
    conn:send(bad:rep(3))
    conn:await_close()
  end)

  it("takes no length for true that is none: what is behind it is heard at once", function()
    local conn = login(start {}, VIN)
    local good = frame("##", 7, 0xFE, VIN, "")
    for _, size in ipairs { 8193, 65531, 65535 } do
      conn:send(good:sub(1, 22) .. string.pack(">I2", size) .. good)
      conn:expect(frame("##", 7, 1, VIN, ""))
    end
  end)

  it("gives up noise without end", function()
    local conn = login(start { junk = "2KiB" }, VIN)
    conn:send(("#"):rep(3000))
    conn:await_close()
  end)

  it("gives up those that never say anything of ours", function()
    local conn = start { first_frame = "500ms" }
    conn:send "GET / HTTP/1.1\r\n\r\n#"
    conn:await_close()
  end)

  it("hears glued frames of both editions, and one that comes byte by byte", function()
    local conn = login(start {}, VIN)
    local old, new = frame("##", 7, 0xFE, VIN, ""), frame("$$", 7, 0xFE, VIN, "")
    local answers = frame("##", 7, 1, VIN, "") .. frame("$$", 7, 1, VIN, "")
    conn:send((old .. new):rep(20))
    conn:expect(answers:rep(20))
    for i = 1, #old do conn:send(old:sub(i, i)) end
    conn:expect(frame("##", 7, 1, VIN, ""))
  end)

  it("counts what comes before a login, and answers nothing", function()
    local conn = start {}
    conn:send(report(VIN) .. frame("##", 7, 0xFE, VIN, "") .. bytes(vectors.login("##", VIN)))
    conn:expect(frame("##", 1, 1, VIN, TIME))
    assert.equal(2, host:metric "tidegate_gbt32960_foreign")
  end)
end)
