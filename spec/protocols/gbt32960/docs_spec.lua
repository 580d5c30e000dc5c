-- SPDX-License-Identifier: Apache-2.0
-- The guide: its first steps and each of its commands are run as they are typed, against a host and
-- simulated vehicles; every command, option and metric stands in it.
local cjson = require "cjson"
local Host = require "support.host"

local GUIDE = "docs/protocols/gbt32960.md"
local VIN = "LSIM0000000000001"

local function blocks(text)
  local found = {}
  for name, code in text:gmatch "<!%-%- tour: (%w+) %-%->\n```%w+\n(.-)```" do
    found[name] = code
  end
  return found
end

--- With ports of the spec's own, and the build under test.
local function rewritten(text, ports, folder)
  for port, own in pairs(ports) do text = text:gsub("%f[%w]" .. port .. "%f[%W]", own) end
  return (text:gsub("build/release", Host.build):gsub("/tmp/vehicles", folder))
end

local function examples(text)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    if line:find '^{"command": ' then out[#out + 1] = line end
  end
  return out
end

local text = Host.read(GUIDE)

describe("the guide to gbt32960", function()
  local host, tour, sim

  local function shell(name)
    local child = Host.spawn("bash", { "-c", "exec 2>&1\n" .. assert(tour[name], name) },
      { env = host:cli_env() })
    return child
  end

  local function says(name)
    local child = shell(name)
    child:wait()
    return table.concat(child.out, "\n")
  end

  local function start()
    local ports = { [1883] = Host.free_port(), [32960] = Host.free_port(),
      [18083] = Host.free_port() }
    tour = blocks(rewritten(text, ports, Host.folder()))
    host = Host.start { config = tour.config }
    sim = Host.spawn("bash", { "-c", "exec " .. tour.sim }, { env = host:cli_env() })
    Host.eventually(function()
      return host:metric "tidegate_gbt32960_reports" ~= nil
        and host:metric "tidegate_gbt32960_reports" >= 3
    end, "three vehicles")
  end

  local function stop()
    sim:kill "sigterm"
    sim:wait()
    host:stop()
  end

  after_each(Host.cleanup)

  it("has first steps that work as typed", function()
    start()
    local watch = Host.spawn("bash", { "-c", "exec " .. tour.watch })
    assert.matches('"speed_kmh":', watch:line(VIN .. "/report"))
    assert.equal("", says "command")
    local fate
    Host.await(function()
      fate = watch:line "job%-17"
      return fate:find('"acked"', 1, true)
    end, "the answer")
    assert.matches('"parameters":{"heartbeat_period_s":60,"port":32960}', fate)
    local asked = says "ask"
    assert.matches("acked", asked)
    assert.matches("clock_offset_ms", asked)
    assert.matches("crankshaft_rpm +2048 rpm", asked)
    watch:kill "sigterm"
    watch:wait()
    stop()
  end)

  it("has commands that work as typed, and every command that there is", function()
    start()
    local port = host.ports.mqtt
    local sub = Host.spawn("mosquitto_sub", { "-p", port, "-t", "gbt32960/" .. VIN .. "/+", "-i",
      "watcher", "-F", "%t %p" })
    Host.eventually(function() return (host:metric "tidegate_subscriptions" or 0) > 3 end, "sub")
    local shown = {}
    for i, example in ipairs(examples(text)) do
      local request = cjson.decode(example)
      shown[request.command] = true
      local code = Host.run("mosquitto_pub", { "-p", port, "-q", "1", "-t",
        "gbt32960/" .. VIN .. "/down", "-m", example })
      assert.equal(0, code)
      if request.command == "quality" then
        assert.is_true(cjson.decode(sub:line("/quality "):match " (.*)").reports > 0)
      else
        local one_way = request.command == "activation_result" or request.command == "key_exchange"
        local fate = cjson.decode(sub:line("/command "):match " (.*)")
        assert.equal("sent", fate.state, example .. tostring(fate.error))
        if not one_way then fate = cjson.decode(sub:line("/command "):match " (.*)") end
        assert.same({ request.command, one_way and "sent" or "acked", request.id },
          { fate.command, fate.state, fate.correlation_id }, i)
      end
    end
    local _, device = host:api("GET", "/api/v1/devices/" .. VIN)
    assert.is_true(#device.commands > 10)
    for _, name in ipairs(device.commands) do assert.is_true(shown[name], name) end
    sub:kill "sigterm"
    sub:wait()
    stop()
  end)

  it("has every option, of the adapter and of a link", function()
    local schema = Host.read "protocols/gbt32960/init.lua":match "config = (%b{})"
    local n = 0
    for name in schema:gmatch "\n    ([%w_]+) = {" do
      n = n + 1
      assert.truthy(text:find("\n| `" .. name .. "` |", 1, true), name)
    end
    assert.equal(23, n)
    local fields = Host.read "protocols/gbt32960/forward_options.lua":match "FIELDS = (%b{})"
    local table_of_links = text:match "\n| entry |.-\n\n"
    for name in fields:gmatch "([%w_]+) = {" do
      n = n + 1
      assert.truthy(table_of_links:find("`" .. name .. "`", 1, true), name)
    end
    assert.equal(23 + 24, n)
  end)

  it("has every metric", function()
    host = Host.start { config = {
      plugins = { gbt32960 = { watched = { VIN }, forward = { { name = "up", host = "127.0.0.1",
        port = Host.free_port(), platform = "P", vins = { "*" } } } } }, listeners = {},
    } }
    local _, metrics = host:api("GET", "/metrics")
    local n = 0
    for name in metrics:gmatch "# TYPE tidegate_gbt32960_([%w_]+)" do
      local found = text:find("`" .. name .. "`", 1, true) or name:find "^script_"
      for _, short in ipairs { name, name:match "^forward(_.+)$" } do
        found = found or text:find(short .. "[`{]")
      end
      assert.truthy(found, name)
      n = n + 1
    end
    assert.is_true(n > 20)
    host:stop()
  end)
end)
