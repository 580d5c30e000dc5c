-- SPDX-License-Identifier: Apache-2.0
-- The REST API from outside: who gets in, what wrong requests get, and what a slow reader of
-- a subscription costs.
local Host = require "support.host"
local cjson = require "cjson"
local uv = require "luv"

local MQTT = {
  plugins = { mqtt = {} },
  listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } },
  admin = { bind = "127.0.0.1:0", body_max = "4KiB", hosts = { "gate.example" } },
}

--- An MQTT 3.1.1 CONNECT with a clean session.
local function connect_packet(id)
  local body = "\0\4MQTT\4\2\0\60" .. string.pack(">s2", id)
  return "\x10" .. string.char(#body) .. body
end

local function mqtt_client(host, id)
  return Host.connect(host.ports.mqtt):send(connect_packet(id)):expect "\x20\2\0\0"
end

describe("the admin API", function()
  local host

  setup(function() host = Host.start { config = MQTT } end)

  teardown(function()
    host:stop()
    Host.cleanup()
  end)

  it("keeps its token in a file for the owner alone", function()
    local stat = uv.fs_stat(host.token_file)
    assert.equal(tonumber("600", 8), stat.mode % 512)
    assert.matches("^%x+\n$", Host.read(host.token_file))
    assert.equal(64, #host.token)
  end)

  it("answers nobody without the token, but for /health", function()
    local status, body, head = host:api("GET", "/api/v1/status", nil, { Authorization = false })
    assert.equal(401, status)
    assert.equal("unauthorized", body.code)
    assert.matches("WWW%-Authenticate: Bearer", head)
    assert.matches("application/problem%+json", head)
    local wrong = host.token:gsub("^.", function(c) return c == "0" and "1" or "0" end)
    assert.equal(401, (host:api("GET", "/metrics", nil, { Authorization = "Bearer " .. wrong })))
    local basic = { Authorization = "Basic " .. host.token }
    assert.equal(401, (host:api("GET", "/metrics", nil, basic)))
    status, body = host:api("GET", "/health", nil, { Authorization = false })
    assert.equal(200, status)
    assert.equal("ok", body.status)
  end)

  it("does not answer to a name that it does not know", function()
    local status, body = host:api("GET", "/api/v1/status", nil, { Host = "evil.example" })
    assert.equal(421, status)
    assert.equal("wrong_host", body.code)
    for _, name in ipairs { "localhost:1", "127.0.0.1", "[::1]:18083", "gate.example:80" } do
      assert.equal(200, (host:api("GET", "/api/v1/status", nil, { Host = name })), name)
    end
    assert.equal(421, (host:api("GET", "/health", nil, { Host = "[evil" })))
    assert.equal(400, (host:api("GET", "/health", nil, { Host = false })))
  end)

  it("says which path and which method there is", function()
    local status, body = host:api("GET", "/api/v1/clinets")
    assert.equal(404, status)
    assert.equal("no_such_path", body.code)
    status, body = host:api("POST", "/api/v1/clients", "{}")
    assert.equal(405, status)
    assert.matches("takes GET", body.detail)
    assert.equal(200, (host:api("GET", "/api/v1/listeners")))
  end)

  it("bounds a request's body", function()
    local status, body = host:api("POST", "/api/v1/publish", ("x"):rep(5000))
    assert.equal(413, status)
    assert.equal("too_big", body.code)
  end)

  it("names what is wrong with a message", function()
    local wrong = {
      { "nothing", "malformed" },
      { "[1]", "malformed" },
      { "{}", "topic" },
      { '{"topic":"a","qos":3}', "qos" },
      { '{"topic":"a","payload":"zz","encoding":"hex"}', "payload" },
      { '{"topic":"a","payload":"zz","encoding":"rot13"}', "encoding" },
      { '{"topic":"a","retained":true}', "did you mean 'retain'" },
      { '{"topic":"a/+"}', "topic" },
      { '{"topic":"a","user_properties":{"a":1}}', "properties" },
    }
    for _, case in ipairs(wrong) do
      local status, body = host:api("POST", "/api/v1/publish", case[1])
      assert.equal(400, status, case[1])
      assert.matches(case[2], body.code .. " " .. body.detail, case[1])
    end
  end)

  it("sends a payload that is no string as JSON, with its properties", function()
    local conn = Host.connect(host.admin_port)
    conn:send(("GET /api/v1/subscribe?filter=p/%%2B HTTP/1.1\r\nHost: localhost\r\n"
      .. "Authorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n"):format(host.token))
    assert.matches("text/event%-stream", conn:read_to "\r\n\r\n")
    assert.matches('^%x+\r\nevent: subscribed\ndata: {"filters":%["p/%+"%]}', conn:read_to "\n\n")
    local status, body = host:api("POST", "/api/v1/publish", {
      topic = "p/1", payload = { a = 1 }, content_type = "application/json",
      user_properties = { site = "north" },
    })
    assert.equal(200, status)
    assert.equal(1, body.receivers)
    conn:read_to "event: message\ndata: "
    local message = cjson.decode(conn:read_to "\n\n")
    assert.same({ a = 1 }, cjson.decode(message.payload))
    assert.equal("application/json", message.content_type)
    assert.same({ { "site", "north" } }, message.user_properties)
    conn:close()
  end)

  it("refuses a subscription to nothing, to too much, and to what is no filter", function()
    assert.equal(400, (host:api("GET", "/api/v1/subscribe")))
    local many = ("filter=a&"):rep(65)
    local status, body = host:api("GET", "/api/v1/subscribe?" .. many)
    assert.equal(400, status)
    assert.matches("at most 64", body.detail)
    status, body = host:api("GET", "/api/v1/subscribe?filter=a&filter=b%2B")
    assert.equal(400, status)
    assert.matches("'b%+'", body.detail)
    Host.eventually(function() -- an earlier reader may still be there
      return #select(2, host:api("GET", "/api/v1/clients")).items == 0
    end, "no session to be left")
  end)

  it("pages through clients, each once and in order", function()
    local conns, want = {}, {}
    for i = 1, 23 do
      want[i] = ("page/%02d"):format(i)
      conns[i] = mqtt_client(host, want[i])
    end
    local got, path = {}, "/api/v1/clients?limit=5"
    repeat
      local _, body = host:api("GET", path)
      assert.is_true(#body.items <= 5)
      for _, item in ipairs(body.items) do
        if item.id:find "^page/" then got[#got + 1] = item.id end
      end
      path = body.next and "/api/v1/clients?limit=5&cursor=" .. body.next:gsub("/", "%%2F")
    until not path
    assert.same(want, got)
    for _, limit in ipairs { "0", "10001", "x", "" } do
      assert.equal(400, (host:api("GET", "/api/v1/clients?limit=" .. limit)), limit)
    end
    for _, conn in ipairs(conns) do conn:close() end
  end)

  it("shows one client by its encoded id, and closes it", function()
    local conn = mqtt_client(host, "a/b c%")
    local path = "/api/v1/clients/a%2Fb%20c%25"
    local status, body = host:api("GET", path)
    assert.equal(200, status)
    assert.equal("a/b c%", body.id)
    assert.is_true(body.connected)
    assert.equal(204, (host:api("DELETE", path)))
    conn:await_close()
    conn:close()
    assert.equal(404, (host:api("GET", "/api/v1/clients/nobody")))
    assert.equal(404, (host:api("DELETE", "/api/v1/clients/nobody")))
  end)

  it("decodes nothing without hex digits or an adapter", function()
    assert.equal(400, (host:api("POST", "/api/v1/decode/mqtt", { hex = "7 8" })))
    assert.equal(400, (host:api("POST", "/api/v1/decode/mqtt", {})))
    assert.equal(404, (host:api("POST", "/api/v1/decode/nope", { hex = "78" })))
  end)

  it("counts what it answered and what it refused", function()
    local before = host:metric "tidegate_admin_denied_total"
    host:api("GET", "/metrics", nil, { Authorization = false })
    assert.equal(before + 1, host:metric "tidegate_admin_denied_total")
    local line = host:log_line "no valid token"
    assert.matches('"peer":"127.0.0.1"', line)
    for _ = 1, 50 do host:api("GET", "/metrics", nil, { Authorization = "Bearer guess" }) end
    local lines = 0
    for _, text in ipairs(host.log) do
      lines = lines + (text:find "no valid token" and 1 or 0)
      assert.not_matches("guess", text)
    end
    assert.is_true(lines <= 10, lines .. " lines")
    assert.is_true(host:metric "tidegate_admin_requests_total" > 0)
  end)
end)

describe("a reader of /subscribe that stops reading", function()
  after_each(Host.cleanup)

  local LINES, SIZE = 20000, 1024

  it("costs bounded memory, is told what was dropped, and goes on", function()
    local host = Host.start { config = {
      plugins = MQTT.plugins, listeners = MQTT.listeners,
      admin = { bind = "127.0.0.1:0", stream_buffer = "64KiB" },
      limits = { queue_messages = 100, queue_bytes = "256KiB" },
    } }
    local slow = Host.connect(host.admin_port)
    slow:send(("GET /api/v1/subscribe?filter=flood HTTP/1.1\r\nHost: localhost\r\n"
      .. "Authorization: Bearer %s\r\n\r\n"):format(host.token))
    slow:read_to "subscribed"
    slow:pause()
    local quick = host:cli_spawn("subscribe", "end", "-n", 1)
    quick:err_line "subscribed"
    local _, before = host:api("GET", "/api/v1/status")

    local pub = Host.spawn("mosquitto_pub", { "-p", host.ports.mqtt, "-t", "flood", "-l", "-q", 1 })
    pub:write((("x"):rep(SIZE - 1) .. "\n"):rep(LINES))
    assert.equal(0, (pub:wait()))
    host:cli("publish", "end", "now")
    assert.matches("now", quick:line()) -- nobody else waits

    local _, clients = host:api("GET", "/api/v1/clients")
    local dropped = 0
    for _, client in ipairs(clients.items) do dropped = dropped + client.dropped end
    assert.is_true(dropped > LINES / 2, "dropped " .. dropped)
    local _, after = host:api("GET", "/api/v1/status")
    local grown = after.resident_bytes - before.resident_bytes
    assert.is_true(grown < 16 * 1024 * 1024 or Host.sanitized, ("grew by %d bytes"):format(grown))

    slow:resume()
    slow:read_to '"topic":"flood"'
    Host.eventually(function()
      local _, list = host:api("GET", "/api/v1/clients")
      for _, client in ipairs(list.items) do
        if client.queued > 0 then return false end
      end
      return true
    end, "the queue to be read")
    host:cli("publish", "flood", "fresh")
    slow:read_to '"payload":"fresh"'
    slow:close()
    host:stop()
  end)

  it("may be the command line, which then stops reading, too", function()
    local host = Host.start { config = {
      plugins = MQTT.plugins, listeners = MQTT.listeners,
      admin = { bind = "127.0.0.1:0", stream_buffer = "64KiB" },
      limits = { queue_messages = 100 },
    } }
    local sub = host:cli_spawn("subscribe", "flood", "--json")
    sub:err_line "subscribed"
    sub:pause_output()
    local pub = Host.spawn("mosquitto_pub", { "-p", host.ports.mqtt, "-t", "flood", "-l", "-q", 1 })
    pub:write((("x"):rep(SIZE - 1) .. "\n"):rep(LINES))
    assert.equal(0, (pub:wait()))
    local _, clients = host:api("GET", "/api/v1/clients")
    local dropped = 0 -- the publisher may still be among them
    for _, client in ipairs(clients.items) do dropped = dropped + client.dropped end
    assert.is_true(dropped > LINES / 2, "dropped " .. dropped)
    local kib = tonumber(Host.read(("/proc/%d/status"):format(sub.pid)):match "VmRSS:%s+(%d+) kB")
    assert.is_true(kib < 32 * 1024 or Host.sanitized, kib .. " KiB")
    sub:resume_output()
    assert.matches('"topic":"flood"', sub:line())
    sub:kill()
    sub:wait()
    host:stop()
  end)

  it("is noticed when it has gone", function()
    local host = Host.start { config = MQTT }
    local conn = Host.connect(host.admin_port)
    conn:send(("GET /api/v1/subscribe?filter=x HTTP/1.1\r\nHost: localhost\r\n"
      .. "Authorization: Bearer %s\r\n\r\n"):format(host.token))
    conn:read_to "subscribed"
    assert.equal(1, host:metric "tidegate_admin_streams")
    conn:close()
    Host.eventually(function() return host:metric "tidegate_admin_streams" == 0 end,
      "the stream to end")
    Host.eventually(function()
      return #select(2, host:api("GET", "/api/v1/clients")).items == 0
    end, "its session to end")
    host:stop()
  end)

  it("leaves half of the connections to everybody else", function()
    local host = Host.start { config = {
      plugins = MQTT.plugins, listeners = MQTT.listeners,
      admin = { bind = "127.0.0.1:0", connections = 4 },
    } }
    local readers = {}
    for i = 1, 2 do
      readers[i] = Host.connect(host.admin_port):send(
        ("GET /api/v1/subscribe?filter=x HTTP/1.1\r\nHost: localhost\r\n"
          .. "Authorization: Bearer %s\r\n\r\n"):format(host.token))
      readers[i]:read_to "subscribed"
    end
    local status, body = host:api("GET", "/api/v1/subscribe?filter=x")
    assert.equal(429, status)
    assert.equal("limit", body.code)
    assert.equal(200, (host:api("GET", "/api/v1/status")))
    for _, reader in ipairs(readers) do reader:close() end
    host:stop()
  end)

  it("does not hold up the host's end", function()
    local host = Host.start { config = MQTT }
    local sub = host:cli_spawn("subscribe", "x")
    sub:err_line "subscribed"
    host:stop()
    sub:wait()
  end)
end)
