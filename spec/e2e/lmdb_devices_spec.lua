-- SPDX-License-Identifier: Apache-2.0
-- Devices that are away when the host starts again are known by their adapter and tenant, and
-- commands are left for them.
local Host = require "support.host"

local ADAPTER = [[
local tg = require "tidegate"
local M = tg.adapter { id = "own", version = "1.0.0", api = 1, frame = { kind = "line" },
  down = "own/${device}/down" }
function M.decode(line) return { type = "login", device = line } end
function M.on_message(conn, msg)
  conn:bind(msg.device, { tenant = "north", floor = 3 }, { expiry = 600 })
  conn:send("hello\n")
end
function M.on_downlink(conn, msg) conn:send(msg.payload .. "\n") end
M.commands.ring = function() return { state = "acked" } end
return M
]]

describe("a device that is away after a restart", function()
  local folder, plugin, host

  local function start()
    host = Host.start { config = { workers = 3,
      store = { plugin = "lmdb", path = folder .. "/store" },
      plugins = { { name = plugin } },
      listeners = { { name = "own", adapter = "own", anonymous = true } } } }
  end

  before_each(function()
    folder = Host.folder()
    plugin = Host.write(folder .. "/own.lua", ADAPTER)
  end)
  after_each(Host.cleanup)

  local function login(id)
    local conn = Host.connect(host.ports.own)
    conn:send(id .. "\n")
    Host.await(function() return conn.data:find "hello" end, "the login")
    return conn
  end

  local function known()
    local status, d = host:api("GET", "/api/v1/devices/d1")
    return status == 200 and d or nil
  end

  it("is listed with whose it is, and gets the commands that were left for it", function()
    start()
    login("d1"):close()
    Host.eventually(function() return known() and not known().connected end, "its end")
    local before = known()
    for _, how in ipairs { "sigkill", "sigterm" } do
      host.process:kill(how)
      host.process:wait()
      start()
      local d = known()
      assert.is_false(d.connected)
      assert.equal("own", d.adapter)
      assert.equal("own/d1/down", d.down)
      assert.same(before.attributes, d.attributes)
      local code, out = host:cli("devices", "--json")
      assert.equal(0, code)
      assert.truthy(out:find('"d1"', 1, true), out)
    end
    local status, answer = host:api("POST", "/api/v1/devices/d1/commands",
      { name = "ring", id = "job-7" })
    assert.equal(202, status)
    assert.equal("queued", answer.fate)
    host.process:kill "sigkill"
    host.process:wait()
    start()
    local conn = login "d1"
    Host.await(function() return conn.data:find '"job%-7"' end, "the command")
    conn:close()
    host:stop()
  end)
end)
