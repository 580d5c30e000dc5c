-- SPDX-License-Identifier: Apache-2.0
-- `tidegate bench`: what it says of a host that does right, and of brokers that do not.
local Host = require "support.host"
local Broker = require "support.bad_broker"
local cjson = require "cjson"

local function run(...) return Host.run(Host.binary, { "bench", ... }) end

--- @return the report, after the exit code that it goes with
local function report(...)
  local args = { ... }
  args[#args + 1] = "--json"
  local code, out, err = run(table.unpack(args))
  assert.not_equal("", out, err)
  local r = cjson.decode(out)
  assert.equal(r.good and 0 or 1, code, out .. err)
  return r, out
end

local function good(...)
  local r, out = report(...)
  assert.is_true(r.good, out)
  return r
end

describe("tidegate bench at a host", function()
  local host, at

  setup(function()
    host = Host.start { config = {
      users = { { user = "meter", password = "secret" } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "closed", adapter = "mqtt" },
      } } }
    at = host.ports.mqtt
  end)
  teardown(function() host:stop() Host.cleanup() end)

  it("delivers between pairs, in each QoS and both versions", function()
    for _, version in ipairs { "3.1.1", "5" } do
      for qos = 0, 2 do
        local r = good("pairs", "-p", at, "-V", version, "-q", qos, "-n", 1000, "-w", 10)
        assert.same({ 10, 10, 1000, 1000, 1000 },
          { r.publishers, r.subscribers, r.sent, r.expected, r.received })
        assert.equal(version, r.mqtt)
        assert.is_true(r.rate > 0 and r.seconds > 0)
        local l = r.latency_us
        assert.is_true(l.p50 > 0 and l.p50 <= l.p90 and l.p90 <= l.p99 and l.p99 <= l.p99_9
          and l.p99_9 <= l.max)
        assert.is_true(r.connect_us.p50 > 0)
      end
    end
  end)

  it("mixes QoS by shares", function()
    local r = good("pairs", "-p", at, "-q", "0:80,1:20", "-n", 1000, "-w", 10)
    assert.equal("0:80,1:20", r.qos)
    assert.equal(1000, r.received)
  end)

  it("fans in, fans out and shares", function()
    assert.equal(1000, good("fanin", "-p", at, "-c", 20, "-n", 1000).received)
    assert.equal(2000, good("fanout", "-p", at, "-c", 20, "-n", 100).received)
    local r = good("shared", "-p", at, "-c", 5, "-s", 3, "-g", 2, "-n", 1000, "-V", 5, "-q", 1)
    assert.same({ 6, 2000 }, { r.subscribers, r.received })
  end)

  it("uses several threads", function()
    local r = good("fanin", "-p", at, "-c", 20, "-n", 2000, "-T", 3, "-q", 1)
    assert.equal(2000, r.received)
    assert.equal(2000, good("pairs", "-p", at, "-n", 2000, "-T", 2).received)
  end)

  it("has many wildcard filters, and holds them", function()
    assert.equal(1000, good("filters", "-p", at, "-s", 5, "-f", 500, "-n", 1000).received)
    local r = good("idle", "-p", at, "-c", 20, "-f", 100, "-d", "100ms", "--server-pid", host.pid)
    assert.equal(20, r.connections)
    assert.is_number(r.server.bytes_per_connection)
    assert.is_number(r.server.bytes_per_subscription)
  end)

  it("takes back what it retained", function()
    local r = good("retained", "-p", at, "-c", 3, "-n", 200, "-q", 1, "-t", "kept/%i/x")
    assert.same({ 200, 600 }, { r.sent, r.received })
    local _, out = host:cli("retained", "kept/#")
    assert.equal("Nothing is retained.\n", out)
  end)

  it("connects, and paces it", function()
    local r = good("connect", "-p", at, "-c", 50, "--connecting", 5)
    assert.equal(50, r.connections)
    r = good("connect", "-p", at, "-c", 20, "--connect-rate", 100)
    assert.is_true(r.seconds > 0.15, r.seconds)
  end)

  it("keeps a pace for a time", function()
    local r = good("pairs", "-p", at, "-c", 4, "-d", "500ms", "-r", 400)
    assert.is_true(r.sent > 20 and r.sent <= 400 * r.seconds + 2, r.sent)
  end)

  it("resumes sessions of clients that come and go, and loses nothing", function()
    for _, qos in ipairs { "1", "2", "0:50,1:25,2:25" } do
      local r = good("churn", "-p", at, "-c", 5, "-n", 1500, "-r", 2000, "-q", qos, "-V", 5,
        "--ttl", "60ms", "--away", "10ms", "-w", 20)
      assert.equal(1500, r.sent)
      assert.is_true(r.resumed > 0 and r.left > 0 and r.cut > 0)
      assert.equal(0, r.doubled)
    end
    Host.eventually(function()
      local _, out = host:cli("clients", "--all")
      return not out:find "bench%-"
    end, "no session to be left")
  end)

  it("shows its credentials", function()
    local closed = host.ports.closed
    good("pairs", "-p", closed, "-n", 100, "-u", "meter", "-P", "secret")
    local code, _, err = run("pairs", "-p", closed, "-n", 100, "-u", "meter", "-P", "wrong")
    assert.equal(3, code)
    assert.matches("no client got in at 127%.0%.0%.1 port %d+: refused: bad user or password", err)
    code, _, err = run("pairs", "-p", closed, "-n", 100, "-V", 5)
    assert.equal(3, code)
    assert.matches("refused: ", err)
  end)

  it("prints a table for people", function()
    local code, out = run("pairs", "-p", at, "-n", 2000, "-h", "localhost")
    assert.equal(0, code)
    assert.matches("10 publishers, 10 subscribers, QoS 0, 64 bytes, 32 in flight", out)
    assert.matches("sent 2,000   received 2,000   lost 0   doubled 0   reordered 0", out)
    assert.matches("\nlatency +[%d.]+ +[%d.]+ +[%d.]+ +[%d.]+ +[%d.]+\n", out)
  end)

  it("says what it has when it is interrupted", function()
    local bench = Host.spawn(Host.binary, { "bench", "idle", "-p", at, "-c", 5, "-f", 5, "--json" })
    Host.eventually(function() return host:metric "tidegate_subscriptions" == 5 end,
      "five clients that know that they are connected")
    bench:kill "sigint"
    local r = cjson.decode(bench:line "^{")
    assert.is_true(r.interrupted)
    assert.equal(5, r.connections)
    assert.equal(1, (bench:wait()))
  end)
end)

describe("tidegate bench over TLS", function()
  local host, folder

  setup(function()
    folder = Host.folder()
    assert.equal(0, (Host.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
      "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=localhost", "-addext",
      "subjectAltName=DNS:localhost", "-keyout", folder .. "/key.pem", "-out",
      folder .. "/cert.pem" })))
    host = Host.start { config = { workers = 1, listeners = { { name = "tls", adapter = "mqtt",
      anonymous = true, tls = { cert = folder .. "/cert.pem", key = folder .. "/key.pem" } } } } }
  end)
  teardown(function() host:stop() Host.cleanup() end)

  it("trusts whom it is told to, and nobody else", function()
    local ca = folder .. "/cert.pem"
    local r = good("pairs", "-h", "localhost", "-p", host.ports.tls, "--tls", "--cafile", ca,
      "-n", 500, "-q", 1, "-l", 20000, "-w", 4)
    assert.is_true(r.tls)
    good("pairs", "-p", host.ports.tls, "--tls", "--insecure", "-n", 100)
    local code, _, err = run("pairs", "-p", host.ports.tls, "--tls", "--cafile", ca)
    assert.equal(3, code)
    assert.matches("TLS: IP address mismatch", err)
    code, _, err = run("pairs", "-h", "localhost", "-p", host.ports.tls, "--tls")
    assert.equal(3, code)
    assert.matches("TLS: self.signed certificate", err)
    code, _, err = run("pairs", "-p", host.ports.tls, "--tls", "--cafile", "/none")
    assert.equal(1, code)
    assert.matches("%-%-cafile: '/none'", err)
  end)

  it("resumes handshakes with tickets", function()
    local r = good("connect", "-p", host.ports.tls, "--tls", "--insecure", "--tls-resume",
      "-c", 30, "--connecting", 1)
    assert.equal(29, r.tls_resumed) -- a ticket is good for one: each has that of the one before
    r = good("connect", "-p", host.ports.tls, "--tls", "--insecure", "-c", 10)
    assert.equal(0, r.tls_resumed)
  end)
end)

describe("tidegate bench at a broker that does wrong", function()
  after_each(function() Broker.cleanup() Host.cleanup() end)

  --- options: of the broker, and patience: when what has not come is given up
  local function at(options)
    local broker = Broker.start(options)
    return report("pairs", "-c", 1, "-n", 100, "--timeout", options.patience or "1h", "-p",
      broker.port)
  end

  it("is content with one that does right", function()
    assert.is_true(at({}).good)
  end)

  it("counts what is lost", function()
    local r = at { patience = "2s", -- from the last that came on
      forward = function(send, packet, n) if n % 50 ~= 0 then send(packet) end end }
    assert.same({ 2, 0, 0, 98 }, { r.lost, r.doubled, r.reordered, r.received })
  end)

  it("counts what comes twice", function()
    local r = at { forward = function(send, packet, n)
      send(n % 50 == 0 and packet .. packet or packet)
    end }
    assert.same({ 0, 2, 0, 102 }, { r.lost, r.doubled, r.reordered, r.received })
  end)

  it("counts what comes behind a later one", function()
    local held
    local r = at { forward = function(send, packet, n)
      if n == 50 then held = packet
      else send(packet) end
      if n == 53 then send(held) end
    end }
    assert.same({ 0, 0, 1, 100 }, { r.lost, r.doubled, r.reordered, r.received })
  end)

  it("counts what nobody has sent", function()
    local r = at { forward = function(send, packet, n)
      send(packet)
      if n == 5 then send "\x30\x07\0\1xwhat" end
      if n == 6 then send("\x30\x1a\0\1x" .. ("\xff"):rep(23)) end
    end }
    assert.equal(2, r.strange)
    assert.equal(0, r.lost)
  end)

  it("names a packet that is none, and a connection that ends", function()
    local r = at { patience = "2s", forward = function(send) send "\x30\2\xff\xff" end }
    assert.equal(1, r.errors["connection: malformed packet"])
    assert.is_true(r.lost > 0)
  end)

  it("says why nobody was let in", function()
    local function refused(options)
      local broker = Broker.start(options)
      local code, out, err = run("pairs", "-c", 2, "--timeout", options.patience or "1h", "-p",
        broker.port)
      assert.equal("", out)
      return code, err
    end
    local code, err = refused { connack = 5 }
    assert.equal(3, code)
    assert.matches("refused: not authorized", err)
    code, err = refused { connack = false, patience = "300ms" }
    assert.equal(3, code)
    assert.matches("connect: timed out", err)
    code, err = refused { suback = 0x80 }
    assert.equal(1, code)
    assert.matches("subscription: failure", err)
  end)
end)

describe("tidegate bench, asked wrongly", function()
  after_each(Host.cleanup)

  it("says which option, and what it expects", function()
    local cases = {
      { { "piars" }, "no scenario 'piars'.*Did you mean 'pairs'" },
      { { "pairs", "-q", "3" }, "%-%-qos: '3': expected 0, 1 or 2, or shares" },
      { { "pairs", "-q", "0:80,1:" }, "%-%-qos: '0:80,1:'" },
      { { "pairs", "-q", "0:1,0:2" }, "%-%-qos: " },
      { { "pairs", "-V", "4" }, "%-%-mqtt: '4': expected 3%.1%.1 or 5" },
      { { "pairs", "-c", "none" },
        "%-%-clients: 'none': expected a whole number from 1 to 1000000" },
      { { "pairs", "-l", "8" }, "%-%-payload: '8': expected a whole number from 16 to" },
      { { "pairs", "-d", "soon" }, "%-%-duration: 'soon': expected a duration such as 10s" },
      { { "pairs", "-r", "-1" }, "%-%-rate: '%-1': expected a number from 0%.001" },
      { { "pairs", "-t", "a/b" }, "%-%-topic: 'a/b': expected a topic .* %%i" },
      { { "churn" }, "%-%-qos: churn follows" },
      { { "filters", "-f", "3", "-s", "4" }, "%-%-filters: expected as many as %-%-subs" },
      { { "pairs", "--tls=yes" }, "%-%-tls takes no value" },
      { { "pairs", "--cleints", "3" }, "Did you mean '%-%-clients'" },
      { {}, "bench: SCENARIO is missing" },
    }
    for _, case in ipairs(cases) do
      local code, out, err = run(table.unpack(case[1]))
      assert.same({ 2, "" }, { code, out }, table.concat(case[1], " "))
      assert.matches(case[2], err)
    end
  end)

  it("gives 3 where nobody listens, and where no such host is", function()
    local code, _, err = run("pairs", "-p", Host.free_port())
    assert.equal(3, code)
    assert.matches("connect: Connection refused", err)
    code, _, err = run("pairs", "-h", "no such host")
    assert.equal(3, code)
    assert.matches("%-%-host: 'no such host'", err)
  end)

  it("has help", function()
    local code, out = run "--help"
    assert.equal(0, code)
    assert.matches("\n  churn +%a", out)
    assert.matches("%-h, %-%-host HOST +of the broker %(127%.0%.0%.1%)", out)
  end)
end)

describe("the comparison with another server", function()
  after_each(Host.cleanup)

  it("is skipped, with the reason, where there is no Go", function()
    local pipe = assert(io.popen "command -v lua5.4")
    local lua = pipe:read "l"
    pipe:close()
    local code, out = Host.run(lua, { "bench/run.lua", Host.build, "other" },
      { env = { PATH = Host.folder() } })
    assert.equal(0, code)
    assert.matches("^other: skipped: there is no Go: ", out)
  end)
end)
