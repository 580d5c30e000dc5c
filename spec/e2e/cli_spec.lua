-- SPDX-License-Identifier: Apache-2.0
-- The command line as its users meet it: the real binary, its words, its exit codes.
local Host = require "support.host"
local cjson = require "cjson"

local MQTT = {
  plugins = { mqtt = {} },
  listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } },
}

local function cli(...)
  return Host.run(Host.binary, { ... }, { env = { TIDEGATE_STATE = "/none" } })
end

describe("tidegate without a host", function()
  after_each(Host.cleanup)

  it("lists its commands and says what one takes", function()
    local code, out = cli "help"
    assert.equal(0, code)
    assert.matches("subscribe%s+FILTER", out)
    code, out = cli("publish", "--help")
    assert.equal(0, code)
    assert.matches("Usage: tidegate publish TOPIC", out)
    assert.matches("%-q, %-%-qos", out)
  end)

  it("says its version, for programs too", function()
    local code, out = cli "version"
    assert.equal(0, code)
    assert.matches("^tidegate %d+%.%d+%.%d+\n$", out)
    local _, json = cli("version", "--json")
    assert.equal(out:match "%d%S+", cjson.decode(json).version)
  end)

  it("names the nearest right word and gives 2 for wrong usage", function()
    local code, _, err = cli("subscirbe", "a")
    assert.equal(2, code)
    assert.matches("Did you mean 'subscribe'", err)
    code, _, err = cli("clients", "--jsn")
    assert.equal(2, code)
    assert.matches("Did you mean '%-%-json'", err)
    code, _, err = cli "new"
    assert.equal(2, code)
    assert.matches("Did you mean 'new adapter'", err)
    code = cli()
    assert.equal(2, code)
  end)

  it("gives 3 and a hint when the host cannot be reached", function()
    local code, out, err = cli("clients", "--host", "127.0.0.1:" .. Host.free_port())
    assert.equal(3, code)
    assert.equal("", out)
    assert.matches("cannot reach the host", err)
    assert.matches("tidegate run", err)
  end)
end)

describe("tidegate config check", function()
  after_each(Host.cleanup)

  local function check(text)
    local path = Host.write(Host.folder() .. "/c.lua", text)
    return cli("config", "check", path)
  end

  it("passes the config that comes along", function()
    local code, out = cli("config", "check", "etc/tidegate.lua")
    assert.equal(0, code)
    assert.matches("etc/tidegate.lua: good, 2 listeners", out)
  end)

  it("passes the built-in config", function()
    local code, out = cli("config", "check")
    assert.equal(0, code)
    assert.matches("good", out)
  end)

  it("names file, line, option and the nearest right name", function()
    local code, _, err = check "return {\n  workers = 1,\n  limits = {\n    infligth = 3,\n  },\n}"
    assert.equal(1, code)
    assert.matches("c%.lua:4: limits%.infligth: .*did you mean 'inflight'", err)
    code, _, err = check "return {\n  log = { levels = {\n    nett = 'debug' } },\n}"
    assert.equal(1, code)
    assert.matches("c%.lua:3: log%.levels%.nett: .*did you mean 'net'", err)
    code, _, err = check [[return {
      listeners = {
        { name = 'a', adapter = 'mqtt', bind = ':1',
          anonymus = true } } }]]
    assert.equal(1, code)
    assert.matches("c%.lua:4: listeners%[1%]%.anonymus: .*did you mean 'anonymous'", err)
  end)

  it("refuses values of the wrong kind and out of bounds", function()
    local wrong = {
      { "return { workers = 65 }", "workers" },
      { "return { workers = 'two' }", "workers" },
      { "return { shutdown = '5 parsecs' }", "shutdown" },
      { "return { log = { level = 'loud' } }", "log%.level" },
      { "return { log = { levels = { net = 'loud' } } }", "log%.levels%.net" },
      { "return { users = { { user = 'a' } } }", "users%[1%]%.password" },
      { "return { auth = { 1 } }", "auth" },
      { "return { plugins = { mqtt = 1 } }", "plugins%.mqtt" },
      { "return { plugins = 1 }", "plugins" },
      { "return { admin = { bind = 1 } }", "admin%.bind" },
      { "return 1", "c%.lua" },
      { "return {", "c%.lua:1" },
      { "error 'no'", "c%.lua:1" },
    }
    for _, case in ipairs(wrong) do
      local code, _, err = check(case[1])
      assert.equal(1, code, case[1])
      assert.matches(case[2], err, case[1])
    end
  end)

  it("knows the options of plugins, and what stands in their tables", function()
    local code, _, err = check "return { plugins = {\n  jt808 = { auht = 'strict' },\n} }"
    assert.equal(1, code)
    assert.matches("c%.lua:2: plugins%.jt808%.auht: .*did you mean 'auth'", err)
    code, _, err = check [[return { plugins = { jt808 = {
      vendors = { ["013800138000"] = "gps51",
        ["013800138001"] = "gps15" } } } }]]
    assert.equal(1, code)
    assert.matches("c%.lua:3: plugins%.jt808%.vendors%.013800138001: .*did you mean 'gps51'", err)
    code, _, err = check [[return { plugins = { { name = "jt808",
      options = { editions = { ["013800138000"] = 2014 } } } } }]]
    assert.equal(1, code)
    assert.matches("c%.lua:2: plugins%[1%]%.options%.editions%.013800138000: .*got 2014", err)
    code, _, err = check [[return { store = { plugin = "lmdb",
      pth = "/var/lib/store" } }]]
    assert.equal(1, code)
    assert.matches("c%.lua:2: store%.pth: .*did you mean 'path'", err)
  end)

  it("warns of plugins that are not on this machine", function()
    local code, out, err = check "return { plugins = { 'acme-meter', 'mqtt' } }"
    assert.equal(0, code)
    assert.matches("good", out)
    assert.matches("warning: plugin 'acme%-meter'", err)
  end)

  it("warns about anonymous access from beyond the machine", function()
    local code, _, err = check [[return { listeners = {
      { name = "m", adapter = "mqtt", bind = "*:1883", anonymous = true } } }]]
    assert.equal(0, code)
    assert.matches("warning: listeners%[1%]", err)
  end)
end)

describe("tidegate with a running host", function()
  local host

  setup(function() host = Host.start { config = MQTT } end)

  teardown(function()
    host:stop()
    Host.cleanup()
  end)

  it("shows what the host is doing", function()
    local code, out = host:cli "status"
    assert.equal(0, code)
    assert.matches("workers%s+2", out)
    local _, json = host:cli("status", "--json")
    local status = cjson.decode(json)
    assert.equal(host.pid, status.pid)
    assert.equal(1, status.listeners)
    assert.equal(host.admin, status.admin)
  end)

  it("lists plugins and listeners", function()
    local _, out = host:cli "plugins"
    assert.matches("mqtt%s+%S+%s+1%s+live%s+c%s", out)
    _, out = host:cli "listeners"
    assert.matches("mqtt%s+mqtt%s+127%.0%.0%.1:" .. host.ports.mqtt .. "%s+tcp", out)
  end)

  it("prints what it subscribes to, as people and as programs read it", function()
    local people = host:cli_spawn("subscribe", "t/#", "-n", 2)
    local programs = host:cli_spawn("subscribe", "t/+", "u", "--json", "-n", 2)
    people:err_line "subscribed"
    programs:err_line "subscribed"
    local code, out = host:cli("publish", "t/1", "hé")
    assert.equal(0, code)
    assert.equal("t/1: 2 receivers.\n", out)
    host:cli("publish", "t/2", "--encoding", "hex", "00ff", "-q", 1)
    assert.matches("t/1  hé$", people:line())
    assert.matches("t/2  AP8=$", people:line())
    local first, second = cjson.decode(programs:line()), cjson.decode(programs:line())
    assert.same({ "t/1", "hé", 0 }, { first.topic, first.payload, first.qos })
    assert.same({ "t/2", "AP8=", 1 }, { second.topic, second.payload_base64, second.qos })
    assert.equal(0, (people:wait()))
    assert.equal(0, (programs:wait()))
  end)

  it("publishes what stdin has, whatever the bytes", function()
    local sub = host:cli_spawn("subscribe", "bin", "--json", "-n", 1)
    sub:err_line "subscribed"
    local pub = host:cli_spawn("publish", "bin")
    pub:write "\0\1\2\255"
    assert.equal(0, (pub:wait()))
    assert.equal("AAEC/w==", cjson.decode(sub:line()).payload_base64)
    sub:wait()
  end)

  it("shows retained messages and forgets them with an empty one", function()
    host:cli("publish", "keep/me", "42", "--retain")
    local _, out = host:cli "retained"
    assert.matches("keep/me%s+0%s+%d+s%s+2 B%s+42", out)
    local sub = host:cli_spawn("subscribe", "keep/#", "-n", 1)
    assert.matches("keep/me %(retained%)  42", sub:line())
    sub:wait()
    host:cli("publish", "keep/me", "", "--retain")
    _, out = host:cli "retained"
    assert.equal("Nothing is retained.\n", out)
  end)

  it("refuses a topic with wildcards and a filter without a level", function()
    local code, _, err = host:cli("publish", "a/#", "x")
    assert.equal(1, code)
    assert.matches("topic", err)
    code, _, err = host:cli("subscribe", "a/#/b")
    assert.equal(1, code)
    assert.matches("filter 'a/#/b'", err)
  end)

  it("sees MQTT clients and closes them", function()
    local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-i", "meter/1", "-t", "x/+" })
    Host.eventually(function()
      local _, out = host:cli "topics"
      return out:find "1  x/%+"
    end, "the subscription")
    local _, out = host:cli "clients"
    assert.matches("meter/1%s+yes", out)
    local code, text = host:cli("kick", "meter/1")
    assert.equal(0, code)
    assert.equal("meter/1: closed.\n", text)
    sub:kill()
    sub:wait()
    local missed, _, err = host:cli("kick", "nobody")
    assert.equal(1, missed)
    assert.matches("there is no client 'nobody'", err)
  end)

  it("shows and sets log levels", function()
    local code, out = host:cli("log", "debug", "hub")
    assert.equal(0, code)
    assert.matches("hub%s+debug", out)
    assert.matches("net%s+info", out)
    code = host:cli("log", "loud")
    assert.equal(1, code)
    code, out = host:cli("log", "info")
    assert.equal(0, code)
    assert.not_matches("debug", out)
  end)

  it("gives problems as JSON to programs", function()
    local code, out = host:cli("kick", "nobody", "--json")
    assert.equal(1, code)
    assert.equal("not_found", cjson.decode(out).code)
  end)

  it("says which plugin is not there", function()
    local code, _, err = host:cli("reload", "nope")
    assert.equal(1, code)
    assert.matches("nope", err)
  end)

  it("needs the token", function()
    local code, _, err = Host.run(Host.binary, { "clients" },
      { env = { TIDEGATE_HOST = host.admin, TIDEGATE_TOKEN_FILE = "/none" } })
    assert.equal(1, code)
    assert.matches("401 unauthorized", err)
    assert.matches("/none", err)
  end)

  it("finds the host by its config and by its folder of state", function()
    local bare = { TIDEGATE_HOST = false, TIDEGATE_TOKEN_FILE = false, TIDEGATE_STATE = "/none" }
    assert.equal(0, (Host.run(Host.binary, { "status", "--config", host.config }, { env = bare })))
    bare.TIDEGATE_STATE = host.folder .. "/state"
    assert.equal(0, (Host.run(Host.binary, { "status" }, { env = bare })))
  end)
end)
