-- SPDX-License-Identifier: Apache-2.0
-- Terminals that speak in datagrams, against the real host.
local cjson = require "cjson"
local Host = require "support.host"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local PHONE = "013800138000"

describe("a terminal over UDP", function()
  local host, sub, conn

  local function start(options, limits)
    host = Host.start { config = {
      plugins = { mqtt = {}, jt808 = options or {} },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "jt808", adapter = "jt808", transport = "udp", anonymous = true,
          limits = limits },
      },
    } }
    sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "jt808/#", "-q", 1,
      "-F", "%t %p", "-i", "watcher" })
    Host.eventually(function()
      local _, topics = host:api("GET", "/api/v1/topics")
      for _, item in ipairs(topics.items) do
        if item.filter == "jt808/#" then return true end
      end
    end, "the subscription")
    conn = Host.datagrams(host.ports.jt808)
  end
  after_each(Host.cleanup)

  local function say(id, body, o) conn:send(terminal.frame(id, body, o)) end

  --- The one frame of the next datagram.
  local function hear()
    local frames = terminal.read(conn:read())
    assert.equal(1, #frames)
    return frames[1]
  end

  local function answered(serial, id, result)
    assert.same({ serial, id, result }, { table.unpack(terminal.answer(hear()), 1, 3) })
  end

  local function next_of(type)
    return cjson.decode(sub:line("^jt808/" .. PHONE .. "/" .. type .. " "):match " (.*)$")
  end

  local function command(message)
    local status = host:api("POST", "/api/v1/publish",
      { topic = "jt808/" .. PHONE .. "/down", payload = message, qos = 1 })
    assert.equal(200, status)
  end

  local function join()
    say(0x0100, string.pack(">I2I2", 31, 115) .. "abcde" .. ("m"):rep(20) .. "1234567\1PLATE",
      { serial = 0 })
    local registered = hear()
    assert.equal(0x8100, registered.id)
    say(0x0102, registered.body:sub(4), { serial = 1 })
    answered(1, 0x0102, 0)
    next_of "auth"
  end

  local function event(name)
    return host:metric(
      ('tidegate_listener_events_total{listener="jt808",event="%s"}'):format(name)) or 0
  end

  it("registers, authenticates, reports, and carries out a command", function()
    start()
    join()
    say(0x0200, terminal.POSITION, { serial = 2 })
    answered(2, 0x0200, 0)
    assert.equal(2, next_of("location").serial)
    local _, listeners = host:api("GET", "/api/v1/listeners")
    assert.equal("udp", listeners.items[2].transport)
    assert.equal(1, listeners.items[2].connections)

    command { command = "query_location", id = "job-1" }
    local ask = hear()
    assert.equal(0x8201, ask.id)
    assert.equal("sent", next_of("command").state)
    say(0x0201, string.pack(">I2", ask.serial) .. terminal.POSITION, { serial = 3 })
    local fate = next_of "command"
    assert.same({ "job-1", "acked" }, { fate.id, fate.state })
    host:stop()
  end)

  it("has many frames in one datagram, and none across two", function()
    start()
    join()
    local two = terminal.frame(0x0200, terminal.POSITION, { serial = 2 })
      .. terminal.frame(0x0200, terminal.POSITION, { serial = 3 })
    conn:send(two)
    answered(2, 0x0200, 0)
    answered(3, 0x0200, 0)
    local whole = terminal.frame(0x0200, terminal.POSITION, { serial = 4 })
    conn:send(whole:sub(1, 20)):send(whole:sub(21))
    say(0x0200, terminal.POSITION, { serial = 5 })
    answered(5, 0x0200, 0)
    for _, serial in ipairs { 2, 3, 5 } do assert.equal(serial, next_of("location").serial) end
    assert.is_true(event "partial" >= 1)
    host:stop()
  end)

  it("goes on from another port without a login, and commands follow it", function()
    start()
    join()
    conn = conn:move()
    say(0x0200, terminal.POSITION, { serial = 2 })
    answered(2, 0x0200, 0)
    assert.equal(2, next_of("location").serial)
    command { command = "check_link", id = "job-2" }
    assert.equal(0x8204, hear().id)
    Host.eventually(function()
      local _, listeners = host:api("GET", "/api/v1/listeners")
      return listeners.items[2].connections == 1
    end, "the old address to be forgotten")
    host:stop()
  end)

  it("keeps its place when strangers come, whose addresses may be forged", function()
    start({ roaming = "login" }, { connections = 1 })
    join()
    for _ = 1, 16 do -- some of them reach its worker
      Host.datagrams(host.ports.jt808):send "stranger"
    end
    Host.eventually(function() return event "refused_connections" >= 16 end, "refusals")
    say(0x0200, terminal.POSITION, { serial = 2 })
    answered(2, 0x0200, 0)
    host:stop()
  end)

  it("logs in again where roaming says so, and after a logout", function()
    start { roaming = "login" }
    join()
    conn = conn:move()
    say(0x0200, terminal.POSITION, { serial = 2 })
    answered(2, 0x0200, 1)
    say(0x0102, "code", { serial = 3 })
    answered(3, 0x0102, 0)
    say(0x0200, terminal.POSITION, { serial = 4 })
    answered(4, 0x0200, 0)
    host:stop()

    start()
    join()
    say(0x0003, "", { serial = 2 })
    answered(2, 0x0003, 0)
    conn = conn:move()
    say(0x0200, terminal.POSITION, { serial = 3 })
    answered(3, 0x0200, 1)
    host:stop()
  end)

  it("may be a simulated one", function()
    start()
    local sim = Host.spawn(Host.binary, { "sim", "jt808", "--transport", "udp", "--port",
      host.ports.jt808, "--devices", 3, "--rate", 20, "--json" })
    local reports = {}
    Host.eventually(function()
      local device = sub:line("/location "):match "^jt808/(%d+)/location "
      reports[device] = (reports[device] or 0) + 1
      for n = 1, 3 do
        if (reports["01390000000" .. n] or 0) < 5 then return false end
      end
      return true
    end, "five reports of each")
    local _, listeners = host:api("GET", "/api/v1/listeners")
    assert.same({ "udp", 3 }, { listeners.items[2].transport, listeners.items[2].connections })
    assert.equal(0, Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-q", "1", "-t",
      "jt808/013900000002/down", "-m", '{"command":"query_parameters","id":"q"}' }))
    local parameters = sub:line("013900000002/parameters ")
    assert.equal(60, cjson.decode(parameters:match " (.*)$").parameters.heartbeat_interval)
    assert.matches('"acked"', sub:line '"state":"acked"')
    sim:kill "sigterm"
    local report = cjson.decode(sim:line "connected")
    assert.equal(0, sim:wait())
    assert.same({ 3, 3, 0, 0 }, { report.connected, report.logins, report.refused,
      report.unacked })
    host:stop()
  end)

  it("that is a stranger is answered by what the adapter says, and by nothing else", function()
    start()
    conn:send("hello")
    conn:send("~~")
    conn:send(("\0"):rep(1000))
    conn:send(terminal.frame(0x0200, terminal.POSITION, { bad = true }))
    say(0x0200, terminal.POSITION, { serial = 7 })
    answered(7, 0x0200, 1)
    assert.equal(0, #conn.got)
    assert.is_true(event "checksum" >= 1)
    host:stop()
  end)

  it("needs an adapter that speaks UDP, and gets no TLS", function()
    local function try(listener)
      local _, _, err = Host.try { config = {
        plugins = { gt06 = {}, jt808 = {} }, listeners = { listener } } }
      return err
    end
    assert.matches("adapter 'gt06' does not speak udp",
      try { name = "a", adapter = "gt06", transport = "udp" })
    assert.matches("listeners%[1%]%.tls: udp carries no TLS", try {
      name = "a", adapter = "jt808", transport = "udp", tls = { cert = "c", key = "k" } })
    assert.matches("tls needs a certificate", try {
      name = "a", adapter = "jt808", transport = "tls" })
  end)
end)
