-- SPDX-License-Identifier: Apache-2.0
-- Reloading an adapter under traffic: what connects gets the new version, what is connected is
-- served on by the old one, nothing is lost, and an old version leaves nothing behind.
local Host = require "support.host"
local uv = require "luv"

local SOURCE = [[
local tg = require "tidegate"
local M = tg.adapter { id = "wire", version = "1.0.%d", api = 1, transports = { "tcp" },
  frame = { kind = "line", max = 256 } }
function M.decode(frame) return { type = "line", text = frame:match "^%%C*" } end
function M.encode(message) return message.text .. "\n" end
function M.on_message(conn, message)
  conn:publish { topic = "wire/lines", payload = message.text }
  conn:send { text = "%d " .. message.text }
end
return M
]]

local function rss_kib(pid)
  return tonumber(Host.read(("/proc/%d/status"):format(pid)):match "VmRSS:%s*(%d+)")
end

describe("reload", function()
  local folder, host

  local function write(version)
    Host.write(folder .. "/init.lua", SOURCE:format(version, version))
  end

  before_each(function()
    folder = Host.folder() .. "/wire"
    uv.fs_mkdir(folder, tonumber("700", 8))
    write(1)
    host = Host.start { config = {
      plugins = { { name = folder } },
      listeners = { { name = "wire", adapter = "wire", anonymous = true } },
    } }
  end)

  after_each(function()
    uv.fs_unlink(folder .. "/init.lua")
    uv.fs_rmdir(folder)
    Host.cleanup()
  end)

  --- Sends `count` lines at once and takes the answers: each line once, in order.
  local function talk(conn, version, count)
    local said, heard = {}, {}
    for i = 1, count do
      conn.seq = (conn.seq or 0) + 1
      said[i], heard[i] = conn.seq .. "\n", version .. " " .. conn.seq .. "\n"
    end
    conn:send(table.concat(said)):expect(table.concat(heard))
  end

  local function reload(version)
    write(version)
    local code, out, err = host:cli("reload", "wire")
    assert.equal(0, code, out .. err)
  end

  local function live_versions()
    local _, body = host:api("GET", "/api/v1/plugins")
    local n = 0
    for _, version in ipairs(body.items) do
      if version.id == "wire" then n = n + 1 end
    end
    return n
  end

  it("holds 100 times under traffic, and old versions go with their last connection", function()
    local old = Host.connect(host.ports.wire)
    talk(old, 1, 50)
    local grown, before = {}, nil
    for version = 2, 101 do
      Host.eventually(function() return live_versions() < 4 end, "an old version to go")
      old:send(("%d\n"):format(old.seq + 1))
      reload(version)
      old.seq = old.seq + 1
      old:expect(("%d %d\n"):format(version - 1, old.seq))
      local new = Host.connect(host.ports.wire)
      talk(new, version, 20)
      talk(old, version - 1, 20)
      old:close()
      old = new
      if version % 25 == 1 then
        Host.eventually(function() return live_versions() == 1 end, "one version of wire")
        Host.eventually(function() return host:metric "tidegate_lua_states" == 2 end,
          "one state a worker")
        local now = rss_kib(host.pid)
        grown[#grown + 1], before = before and now - before, now
      end
    end
    -- What leaks does so each time; what the allocator keeps once is kept once.
    assert.is_true(Host.sanitized or math.min(table.unpack(grown)) < 1440,
      ("memory grew by %s KiB"):format(table.concat(grown, ", ")))
    talk(old, 101, 20)
    host:stop()
  end)

  it("changes nothing when the new version is broken, and says where", function()
    local conn = Host.connect(host.ports.wire)
    talk(conn, 1, 5)
    for _, broken in ipairs {
      "local tg = require 'tidegate'\nreturn tg.adapter {\n",
      "local tg = require 'tidegate'\nlocal x = nil\nx.y = 1\n",
      "local tg = require 'tidegate'\n\nwhile true do end\n",
      "return 1\n",
    } do
      Host.write(folder .. "/init.lua", broken)
      local code, _, err = host:cli("reload", "wire")
      assert.equal(1, code)
      assert.matches("init.lua", err)
      talk(conn, 1, 5)
      local other = Host.connect(host.ports.wire)
      talk(other, 1, 5)
      other:close()
    end
    reload(2)
    local new = Host.connect(host.ports.wire)
    talk(new, 2, 5)
    host:stop()
  end)

  it("refuses a fifth living version until one is gone", function()
    local conns = {}
    for version = 1, 4 do
      if version > 1 then reload(version) end
      conns[version] = Host.connect(host.ports.wire)
      talk(conns[version], version, 1)
    end
    write(5)
    local code, _, err = host:cli("reload", "wire")
    assert.equal(1, code)
    assert.matches("versions", err)
    conns[1]:close()
    Host.eventually(function() return live_versions() == 3 end, "three versions of wire")
    reload(5)
    for version = 2, 4 do talk(conns[version], version, 3) end
    host:stop()
  end)
end)
