-- SPDX-License-Identifier: Apache-2.0
-- Forwarding: vehicles → host A → upper platform. The platform is a second host, behind a
-- proxy that can be cut; or the spec itself, where each byte of the link matters.
local uv = require "luv"
local cjson = require "cjson"
local Host = require "support.host"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local VIN, OTHER, PLATFORM = "LTEST000000009016", "LTEST000000009017", "TESTPLATFORM00001"
local VEHICLE = "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18\x12\0"

local function frame(...) return vectors.unhex(vectors.frame(...)) end

local function time_of(n) return string.char(24, 3, 15, 8, n // 60, n % 60) end

local function report(vin, n) return frame("##", 2, 0xFE, vin, time_of(n) .. VEHICLE) end

local function login(conn, vin, serial)
  conn:send(vectors.unhex(vectors.login("##", vin, serial)))
  conn:expect(frame("##", 1, 1, vin, vectors.TIME))
  return conn
end

--- A heartbeat's answer says that all before it has been dealt with.
local function settle(conn, vin)
  conn:send(frame("##", 7, 0xFE, vin, ""))
  conn:expect(frame("##", 7, 1, vin, ""))
end

-- ---- servers of the spec's own ---------------------------------------------------------------

local servers = {}

local function serve(port, on_connection)
  local server = uv.new_tcp()
  assert(server:bind("127.0.0.1", port))
  server:listen(16, function()
    local conn = uv.new_tcp()
    server:accept(conn)
    on_connection(conn)
  end)
  servers[#servers + 1] = server
end

local function close(handle)
  if handle and not handle:is_closing() then handle:close() end
end

--- Between A and B. `cut` ends what goes through, and lets nothing through until it is false.
local function proxy(to)
  local self = { port = Host.free_port(), cut = false, pairs = {} }
  serve(self.port, function(near)
    if self.cut then return close(near) end
    local far = uv.new_tcp()
    local function both()
      close(near)
      close(far)
    end
    self.pairs[#self.pairs + 1] = both
    far:connect("127.0.0.1", to, function(err)
      if err then return both() end
      local function pass(from, into)
        from:read_start(function(_, chunk)
          if chunk and not into:is_closing() then into:write(chunk) else both() end
        end)
      end
      pass(near, far)
      pass(far, near)
    end)
  end)
  function self.set(cut)
    self.cut = cut
    if not cut then return end
    for _, both in ipairs(self.pairs) do both() end
    self.pairs = {}
  end
  return self
end

--- An upper platform: keeps the frames, and answers each with the flag that `answer` gives.
local function platform(answer)
  local self = { port = Host.free_port(), frames = {}, links = 0, data = "" }
  serve(self.port, function(conn)
    self.links, self.data, self.conn = self.links + 1, "", conn
    conn:read_start(function(_, chunk)
      if not chunk then return close(conn) end
      self.data = self.data .. chunk
      while #self.data >= 25 do
        local size = 25 + string.unpack(">I2", self.data, 23)
        if #self.data < size then return end
        local one = self.data:sub(1, size)
        self.data = self.data:sub(size + 1)
        self.frames[#self.frames + 1] = one
        local flag = answer(one, self)
        if flag and not conn:is_closing() then
          conn:write(frame(one:sub(1, 2), one:byte(3), flag, one:sub(5, 21), one:sub(25, 30)))
        end
      end
    end)
  end)
  function self.await(n)
    Host.await(function() return #self.frames >= n end, function()
      return n .. " frames, have " .. #self.frames
    end)
    return self.frames[n]
  end
  return self
end

-- ---- hosts -----------------------------------------------------------------------------------

local folder

local function host_a(port, more)
  local link = { name = "up", host = "127.0.0.1", port = port, user = "operator",
    password = "secret", platform = PLATFORM, vins = { "LTEST*" }, backoff = "50ms",
    backoff_max = "100ms", reissue_rate = 100000 }
  for key, value in pairs(more or {}) do link[key] = value end
  return Host.start { config = {
    workers = 2,
    store = { plugin = "lmdb", path = folder .. "/store" },
    plugins = { gbt32960 = { forward = { link } } },
    listeners = { { name = "gbt32960", adapter = "gbt32960", anonymous = true } },
  } }
end

local function host_b()
  return Host.start { config = {
    workers = 2,
    plugins = { mqtt = {}, gbt32960 = { links = "platform", reissues = 100000 } },
    users = { { user = "operator", password = "secret" } },
    listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true },
      { name = "gbt32960", adapter = "gbt32960", anonymous = true },
    },
  } }
end

local function subscribe(host)
  local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "gbt32960/#", "-q", 1,
    "-F", "%t %p", "-i", "watcher" })
  Host.eventually(function() return (host:metric "tidegate_subscriptions" or 0) > 0 end, "sub")
  return sub
end

--- The next message on a topic that ends with `topic`.
local function message(sub, topic)
  local _, payload = sub:line(topic .. " "):match "^(%S+) (.*)$"
  return cjson.decode(payload)
end

local function number_of(got)
  local minute, second = got.time:match "T08:(%d+):(%d+)"
  return minute * 60 + second
end

local ITEMS = 'tidegate_spool_items{plugin="gbt32960",spool="forward-up"}'

local function awaits_empty(host)
  Host.eventually(function() return host:metric(ITEMS) == 0 end, "an empty spool")
end

local function awaits_up(host)
  Host.eventually(function() return host:metric 'tidegate_gbt32960_forward_up{link="up"}' == 1 end,
    "the link")
end

local function end_spec()
  for _, server in ipairs(servers) do close(server) end
  servers = {}
  Host.cleanup()
end

describe("gbt32960 forwards to another host", function()
  before_each(function() folder = Host.folder() end)
  after_each(end_spec)

  it("live, then behind a cut and kill -9 what waited, as reissued, in order", function()
    local b = host_b()
    local sub, between = subscribe(b), proxy(b.ports.gbt32960)
    local a = host_a(between.port)
    awaits_up(a)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    assert.equal(1, message(sub, PLATFORM .. "/platform_login").serial)
    message(sub, VIN .. "/login")
    for n = 1, 10 do car:send(report(VIN, n)) end
    for n = 1, 10 do assert.equal(n, number_of(message(sub, VIN .. "/report"))) end
    awaits_empty(a)

    between.set(true)
    for n = 11, 300 do car:send(report(VIN, n)) end
    settle(car, VIN)
    assert.equal(290, a:metric(ITEMS))
    a.process:kill "sigkill"
    a.process:wait()
    a = host_a(between.port)
    car = login(Host.connect(a.ports.gbt32960), VIN, 2)
    for n = 301, 310 do car:send(report(VIN, n)) end
    settle(car, VIN)
    between.set(false)
    for n = 11, 310 do
      local got = message(sub, VIN .. "/reissue")
      assert.equal(n, number_of(got))
      assert.is_true(got.reissued)
    end
    car:send(report(VIN, 311))
    assert.equal(311, number_of(message(sub, VIN .. "/report")))
    awaits_empty(a)
    assert.equal(300, a:metric 'tidegate_gbt32960_forward_reissued{link="up"}')
    a:stop()
    assert.truthy(message(sub, PLATFORM .. "/platform_logout").serial)
    sub:kill "sigterm"
    sub:wait()
    b:stop()
  end)
end)

describe("gbt32960 as the client of an upper platform", function()
  before_each(function() folder = Host.folder() end)
  after_each(end_spec)

  it("logs in with a serial that grows, hands frames on as they came, and logs out", function()
    local up = platform(function() return 1 end)
    local a = host_a(up.port, { vins = { VIN } })
    local first = up.await(1)
    assert.equal("##\5\xFE" .. PLATFORM .. "\1\0\41", first:sub(1, 24))
    assert.equal("\0\1operator\0\0\0\0secret" .. ("\0"):rep(14) .. "\1", first:sub(31, -2))
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    local other = login(Host.connect(a.ports.gbt32960), OTHER)
    other:send(report(OTHER, 1))
    settle(other, OTHER)
    car:send(report(VIN, 1) .. report(VIN, 2))
    car:send(frame("##", 3, 0xFE, VIN, time_of(0) .. VEHICLE))
    car:send(frame("##", 4, 0xFE, VIN, time_of(3) .. "\0\1"))
    assert.equal(vectors.unhex(vectors.login("##", VIN)), up.await(2))
    assert.equal(report(VIN, 1), up.await(3))
    assert.equal(report(VIN, 2), up.await(4))
    assert.equal(frame("##", 3, 0xFE, VIN, time_of(0) .. VEHICLE), up.await(5))
    assert.equal(frame("##", 4, 0xFE, VIN, time_of(3) .. "\0\1"), up.await(6))
    a:stop()
    local last = up.await(7)
    assert.equal(6, last:byte(3))
    assert.equal("\0\1", last:sub(31, 32))
    a = host_a(up.port)
    assert.equal("\0\2", up.await(8):sub(31, 32)) -- the day's second
    a:stop()
  end)

  it("tells the login of a vehicle again to a new link, before its frames", function()
    local up = platform(function() return 1 end)
    local a = host_a(up.port)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    assert.equal(1, up.await(2):byte(3))
    close(up.conn)
    up.await(3) -- logged in again
    car:send(report(VIN, 1))
    assert.equal(vectors.unhex(vectors.login("##", VIN)), up.await(4))
    assert.equal(report(VIN, 1), up.await(5)) -- the link was up when it came
    a:stop()
  end)

  it("gives up a link without answers, and sends again what had none", function()
    local silent = true
    local up = platform(function(one)
      if one:byte(3) == 5 or not silent then return 1 end
    end)
    local a = host_a(up.port, { answer_timeout = "300ms" })
    login(Host.connect(a.ports.gbt32960), VIN):send(report(VIN, 1))
    up.await(4) -- login, the vehicle's login, its report, login
    silent = false
    awaits_empty(a)
    assert.equal(frame("##", 3, 0xFE, VIN, time_of(1) .. VEHICLE), up.frames[#up.frames])
    assert.is_true(a:metric 'tidegate_gbt32960_forward_unanswered{link="up"}' > 0)
    a:stop()
  end)

  it("tries what was refused again, three times, while others go on", function()
    local tries = 0
    local up = platform(function(one)
      if one:sub(5, 21) ~= VIN or one:byte(3) == 1 then return 1 end
      tries = tries + 1
      return 2
    end)
    local a = host_a(up.port, { retry = "200ms" })
    local bad = login(Host.connect(a.ports.gbt32960), VIN)
    local good = login(Host.connect(a.ports.gbt32960), OTHER)
    bad:send(report(VIN, 1))
    for n = 1, 20 do good:send(report(OTHER, n)) end
    settle(good, OTHER)
    Host.eventually(function()
      return a:metric 'tidegate_gbt32960_forward_given_up{link="up"}' == 1
    end, "the last try")
    assert.equal(3, tries)
    local reports = 0
    for _, one in ipairs(up.frames) do
      if one:sub(5, 21) == OTHER and one:byte(3) == 2 then reports = reports + 1 end
    end
    assert.equal(20, reports)
    a:stop()
  end)

  it("has one link after a reload: the old version's says good-bye first", function()
    local up = platform(function() return 1 end)
    local a = host_a(up.port)
    awaits_up(a)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    for n = 1, 30 do car:send(report(VIN, n)) end
    assert.equal(0, (a:cli("reload", "gbt32960")))
    for n = 31, 60 do car:send(report(VIN, n)) end
    settle(car, VIN)
    awaits_empty(a)
    local order, numbers = {}, {}
    for _, one in ipairs(up.frames) do
      local cmd = one:byte(3)
      if cmd == 5 or cmd == 6 then order[#order + 1] = cmd end
      if cmd == 2 or cmd == 3 then numbers[#numbers + 1] = one:byte(30) + 60 * one:byte(29) end
    end
    assert.same({ 5, 6, 5 }, order)
    for n = 1, 60 do assert.equal(n, numbers[n]) end
    assert.equal(60, #numbers)
    a:stop()
  end)

  it("rests after three refused logins", function()
    local up = platform(function() return 2 end)
    local a = host_a(up.port, { retry = "20ms", login_wait = "10s" })
    up.await(3)
    a:log_line "takes no login"
    Host.pass(300)
    assert.equal(3, #up.frames)
    a:stop()
  end)

  it("says at the start what is wrong with an entry", function()
    for more, text in pairs {
      [{ port = 0 }] = "port: 1 to 65535", [{ vin = "x" }] = "no such option: vin",
      [{ vins = { "a/b" } }] = "vins: letters, digits and *", [{ edition = 2020 }] = "2016 or 2025",
    } do
      local link = { host = "x", port = 1, platform = "P", vins = { "*" } }
      for key, value in pairs(more) do link[key] = value end
      local path = Host.folder()
      local host = Host.start { config = {
        plugins = { gbt32960 = { forward = { link } } }, listeners = {},
        state_dir = path,
      } }
      assert.truthy(host:log_line(text), text)
      host:stop()
    end
  end)
end)
