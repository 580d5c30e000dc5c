-- SPDX-License-Identifier: Apache-2.0
-- Simulated devices against the real host, seen by an MQTT client that knows nothing of them.
local Host = require "support.host"
local cjson = require "cjson"

local KINDS = {
  { name = "jt808", report = "location", device = "013900000001" },
  { name = "gt06", report = "location", device = "860000000000001" },
  { name = "gbt32960", report = "report", device = "LSIM0000000000001" },
}
local COMMANDS = {
  jt808 = '{"command":"query_parameters","args":{}}',
  gt06 = '{"command":"send","args":{"text":"WHERE#"}}',
  gbt32960 = '{"command":"query","args":{"ids":["report_period_s"]}}',
}
local FATES = { jt808 = '"acked"', gt06 = '"replied"', gbt32960 = '"acked"' }

local function start()
  local plugins, listeners = { { name = "mqtt" } }, {
    { name = "mqtt", adapter = "mqtt", anonymous = true },
  }
  for _, kind in ipairs(KINDS) do
    plugins[#plugins + 1] = { name = kind.name }
    listeners[#listeners + 1] = { name = kind.name, adapter = kind.name, anonymous = true }
  end
  return Host.start { config = { plugins = plugins, listeners = listeners } }
end

local function subscribe(host, filter)
  local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", filter, "-q", 1,
    "-F", "%t %p", "-i", "watcher" })
  Host.eventually(function()
    local _, topics = host:api("GET", "/api/v1/topics")
    for _, item in ipairs(topics.items) do
      if item.filter == filter then return true end
    end
  end, "the subscription " .. filter)
  return sub
end

describe("a simulator", function()
  local host

  before_each(function() host = start() end)
  after_each(Host.cleanup)

  local function spawn(name, ...)
    return Host.spawn(Host.binary, { "sim", name, "--port", host.ports[name], "--json", ... })
  end

  local function finish(sim)
    sim:kill "sigterm"
    local report = cjson.decode(sim:line "connected")
    assert.equal(0, sim:wait())
    return report
  end

  it("of jt808 has both editions", function()
    local sub = subscribe(host, "jt808/+/location")
    for n, edition in ipairs { 2013, 2019 } do
      local sim = spawn("jt808", "--edition", edition, "--first", n)
      local line = sub:line(("%012d/location"):format(13900000000 + n))
      local report = cjson.decode(line:match " (.*)$")
      assert.equal(tostring(edition), report.edition)
      assert.equal(0, finish(sim).damaged)
    end
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("of gbt32960 has both editions", function()
    local sub = subscribe(host, "gbt32960/+/report")
    for _, edition in ipairs { 2016, 2025 } do
      local sim = spawn("gbt32960", "--edition", edition, "--first", edition)
      local line = sub:line(("LSIM%013d/report"):format(edition))
      local report = cjson.decode(line:match " (.*)$")
      assert.equal(edition, report.edition)
      assert.equal(edition == 2025 and "WGS84" or nil, report.position.datum)
      assert.is_nil(report.flaws)
      assert.equal(0, finish(sim).damaged)
    end
    local sim = Host.spawn(Host.binary, { "sim", "gbt32960", "--edition", "2020" })
    assert.are_not.equal(0, sim:wait())
    assert.matches("expected one of '2016', '2025'", table.concat(sim.err, " "))
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  for _, kind in ipairs(KINDS) do
    it("of " .. kind.name .. " reports along its route and answers commands", function()
      local file = Host.folder() .. "/route.csv"
      Host.write(file, "# there and back\n48.2000,16.3000\n48.2000, 16.4000\n")
      local sub = subscribe(host, kind.name .. "/#")
      local sim = spawn(kind.name, "--devices", 3, "--rate", 20, "--route", file)
      local last
      for _ = 1, 10 do
        local payload = sub:line(kind.device .. "/" .. kind.report):match "^%S+ (.*)$"
        local json = cjson.decode(payload)
        local at = json.position or json
        assert.near(48.2, at.latitude, 1e-5)
        assert.is_true(at.longitude >= 16.3 and at.longitude <= 16.4, payload)
        assert.are_not.equal(last, payload)
        last = payload
      end
      assert.equal(0, Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-q", 1, "-t",
        kind.name .. "/" .. kind.device .. "/down", "-m", COMMANDS[kind.name] }))
      assert.matches(kind.device, sub:line(FATES[kind.name]), 1, true)
      local report = finish(sim)
      assert.equal(3, report.logins)
      assert.equal(1, report.commands)
      assert.is_true(report.acked > 10 and report.acked <= report.reports)
      assert.equal(0, report.unacked)
      sub:kill "sigterm"
      sub:wait()
      host:stop()
    end)
  end

  it("reports as fast as it is acknowledged", function()
    local sub = subscribe(host, "jt808/+/location")
    local sim = spawn("jt808", "--devices", 10, "--rate", 0, "--window", 5)
    for _ = 1, 2000 do sub:line "location" end -- minutes, at a report a second
    local report = finish(sim)
    assert.equal(10, report.logins)
    assert.is_true(report.acked >= 1950, report.acked)
    assert.is_true(report.reports - report.acked <= 50)
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("ends by itself after its time", function()
    local code, out = Host.run(Host.binary, { "sim", "jt808", "--port", host.ports.jt808,
      "--json", "-d", "100ms" })
    assert.equal(0, code)
    assert.is_true(cjson.decode(out).ms >= 99, out) -- the loop's clock has no fractions
    host:stop()
  end)

  it("misbehaves on request, and the host goes on", function()
    local sub = subscribe(host, "jt808/+/location")
    local sim = spawn("jt808", "--devices", 4, "--rate", 100, "--misbehave",
      "split,noise,checksum,vanish,early,clock", "--share", 100)
    for _ = 1, 300 do sub:line "location" end
    local report = finish(sim)
    assert.is_true(report.damaged > 10)
    assert.is_true(report.connected > 4)
    assert.is_true(host:metric "tidegate_jt808_before_auth" >= 4) -- each was too early once
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  it("sends a device back whose connection the host has closed", function()
    local sub = subscribe(host, "gt06/#")
    local sim = spawn("gt06")
    sub:line "/location" -- it knows that it is logged in
    host:api("DELETE", "/api/v1/clients/860000000000001")
    sub:line "/login"
    sub:line "/location"
    local report = finish(sim)
    assert.equal(2, report.logins)
    assert.equal(0, report.refused)
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  local function refusal(...)
    local code, _, err = Host.run(Host.binary, { "sim", ... })
    return code, err
  end

  it("says what is wrong with its options", function()
    local route = Host.folder() .. "/route"
    local cases = {
      { "options.devices: expected an integer", "jt808", "--devices", "x" },
      { "did you mean 'devices'?", "jt808", "--devces", 3 },
      { "no way 'splat'; there are checksum,", "jt808", "--misbehave", "splat" },
      { "plugin 'mqtt' has no simulator", "mqtt" },
      { "options.transport: expected one of 'tcp', 'udp'", "jt808", "--transport", "pigeon" },
      { "options.transport: no such option", "gt06", "--transport", "udp" },
      { "udp carries no TLS", "jt808", "--transport", "udp", "--tls", "true" },
      { "route " .. route, "gt06", "--route", route },
      { "'soon': expected a duration", "gt06", "--duration", "soon" },
    }
    for _, case in ipairs(cases) do
      local code, err = refusal(table.unpack(case, 2))
      assert.is_true(code ~= 0, case[1])
      assert.truthy(err:find(case[1], 1, true), err)
    end
    for text, why in pairs {
      ["1,2\n91,0"] = "route:2: expected latitude,longitude in degrees", ["1,2"] = "two points",
      ['{"type":"LineString","coordinates":[[1,2],[1,"x"]]}'] = "route: coordinates[1]",
      ['<gpx><trkpt lat="1" lon="2"></trkpt><trkpt lat="1"></trkpt></gpx>'] = "route: point 2",
    } do
      Host.write(route, text)
      local code, err = refusal("gt06", "--route", route)
      assert.is_true(code ~= 0, text)
      assert.truthy(err:find(why, 1, true), err)
    end
    host:stop()
  end)

  it("goes along GPX tracks and GeoJSON lines, too", function()
    local folder = Host.folder()
    local files = {
      gpx = '<gpx><trkseg><trkpt lat="-33.9" lon="18.4"><ele>1</ele></trkpt>'
        .. '<trkpt lat="-33.9" lon="18.5"/></trkseg></gpx>',
      geojson = '{"type":"FeatureCollection","features":[{"type":"Feature","geometry":'
        .. '{"type":"LineString","coordinates":[[18.4,-33.9],[18.5,-33.9]]}}]}',
    }
    local sub, first = subscribe(host, "jt808/+/location"), 0
    for ending, text in pairs(files) do
      local path = folder .. "/route." .. ending
      Host.write(path, text)
      first = first + 1 -- a device of its own: the last one may still be on its way
      local sim = spawn("jt808", "--first", first, "--rate", 20, "--route", path)
      local line = sub:line(("%012d/location"):format(13900000000 + first))
      local json = cjson.decode(line:match "^%S+ (.*)$")
      assert.near(-33.9, json.latitude, 1e-5)
      assert.is_true(json.longitude >= 18.4 and json.longitude <= 18.5)
      finish(sim)
    end
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)
end)
