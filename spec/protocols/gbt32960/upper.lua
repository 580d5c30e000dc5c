-- SPDX-License-Identifier: Apache-2.0
-- What specs of forwarding share: vehicles → host A → upper platform. The platform is a second
-- host, behind a proxy that can be cut; or the spec itself, where each byte of the link matters.
local uv = require "luv"
local cjson = require "cjson"
local Host = require "support.host"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local M = {}

local VIN, OTHER, PLATFORM = "LTEST000000009016", "LTEST000000009017", "TESTPLATFORM00001"
M.VIN, M.OTHER, M.PLATFORM = VIN, OTHER, PLATFORM
local VEHICLE = "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18\x12\0"

local function frame(...) return vectors.unhex(vectors.frame(...)) end
M.frame = frame

local function time_of(n) return string.char(24, 3, 15, 8, n // 60, n % 60) end

--- Report `n` of a vehicle, by default of 2016 and as it is made (2), not reissued (3).
function M.report(vin, n, start, command)
  local unit = start == "$$" and VEHICLE:sub(1, -3) or VEHICLE
  return frame(start or "##", command or 2, 0xFE, vin, time_of(n) .. unit)
end

function M.login_frame(vin, serial, start)
  return vectors.unhex(vectors.login(start or "##", vin, serial))
end

function M.login(conn, vin, serial, start)
  conn:send(M.login_frame(vin, serial, start))
  conn:expect(frame(start or "##", 1, 1, vin, vectors.TIME))
  return conn
end

function M.logout_frame(vin, serial, n)
  return frame("##", 4, 0xFE, vin, time_of(n) .. string.pack(">I2", serial))
end

--- The number of the report that a frame or a message is.
function M.number_of(what)
  if type(what) == "string" then return what:byte(30) + 60 * what:byte(29) end
  local minute, second = what.time:match "T08:(%d+):(%d+)"
  return minute * 60 + second
end

--- The day of login serials, which begin anew at its midnight.
function M.day() return os.date("!%F", os.time() + 8 * 3600) end

--- A heartbeat's answer says that all before it has been dealt with.
function M.settle(conn, vin)
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
M.close = close

--- Between A and B. `cut` ends what goes through, and lets nothing through until it is false.
function M.proxy(to)
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
--- With `hold` it keeps its answers until `release`.
---@param answer? function by default each is right
function M.platform(answer, port)
  local self = { port = port or Host.free_port(), frames = {}, links = 0, data = "", hold = false }
  local held = {}
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
        local flag = 1
        if answer then flag = answer(one, self) end
        local reply = flag
          and frame(one:sub(1, 2), one:byte(3), flag, one:sub(5, 21), one:sub(25, 30))
        if self.hold then
          held[#held + 1] = reply or nil
        elseif reply and not conn:is_closing() then
          conn:write(reply)
        end
      end
    end)
  end)
  function self.release()
    self.hold = false
    for _, reply in ipairs(held) do self.conn:write(reply) end
    held = {}
  end
  function self.await(n)
    Host.await(function() return #self.frames >= n end, function()
      return n .. " frames, have " .. #self.frames
    end)
    return self.frames[n]
  end
  return self
end

-- ---- hosts -----------------------------------------------------------------------------------

--- The folder of host A's store.
M.folder = nil

function M.link(port, more)
  local link = { name = "up", host = "127.0.0.1", port = port, user = "operator",
    password = "secret", platform = PLATFORM, vins = { "LTEST*" }, backoff = "50ms",
    backoff_max = "100ms", reissue_rate = 100000 }
  for key, value in pairs(more or {}) do link[key] = value end
  return link
end

--- A host that vehicles come to, with one link or a list of them.
function M.host_a(port, more)
  return Host.start { config = {
    workers = 2,
    store = { plugin = "lmdb", path = M.folder .. "/store" },
    plugins = { gbt32960 = { forward = type(port) == "table" and port or { M.link(port, more) } } },
    listeners = { { name = "gbt32960", adapter = "gbt32960", anonymous = true } },
  } }
end

function M.host_b()
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

function M.subscribe(host)
  local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "gbt32960/#", "-q", 1,
    "-F", "%t %p", "-i", "watcher" })
  Host.eventually(function() return (host:metric "tidegate_subscriptions" or 0) > 0 end, "sub")
  return sub
end

--- The next message on a topic that ends with `topic`.
function M.message(sub, topic)
  local _, payload = sub:line(topic .. " "):match "^(%S+) (.*)$"
  return cjson.decode(payload)
end

--- A counter of a link.
function M.counted(host, what, name)
  return host:metric(('tidegate_gbt32960_forward_%s{link="%s"}'):format(what, name or "up"))
end

function M.waiting(host, name)
  return host:metric(('tidegate_spool_items{plugin="gbt32960",spool="forward-%s"}')
    :format(name or "up"))
end

function M.awaits_empty(host, name)
  Host.eventually(function() return M.waiting(host, name) == 0 end, "an empty spool")
end

function M.awaits_up(host, name)
  Host.eventually(function() return M.counted(host, "up", name) == 1 end, "the link")
end

function M.end_spec()
  for _, server in ipairs(servers) do close(server) end
  servers = {}
  Host.cleanup()
end

return M
