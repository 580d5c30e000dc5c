-- SPDX-License-Identifier: Apache-2.0
-- A hostile script in a living host with one worker: each of its tricks ends within its budget,
-- is named with plugin and line, and a tracker on the same worker goes on. An error is logged
-- once a minute for one place, so each trick has a line of its own.
local Host = require "support.host"
local Tracker = require "support.tracker"
local uv = require "luv"

local SOURCE = [[
local tg = require "tidegate"
local M = tg.adapter { id = "evil", version = "6.6.6", api = 1, frame = { kind = "line" } }
local tricks = {}
function tricks.loop() while true do end end
function tricks.pcall() while true do pcall(function() while true do end end) end end
function tricks.xpcall()
  xpcall(error, function() while true do end end)
end
function tricks.coroutine() coroutine.wrap(function() while true do end end)() end
function tricks.pattern() return ("a"):rep(3000):find(("a*"):rep(30) .. "b") end
function tricks.rep() return ("x"):rep(1 << 40) end
function tricks.move() return table.move({}, 1, 1 << 40, 2) end
function tricks.hog() local t = {} while true do t[#t + 1] = ("x"):rep(1 << 16) end end
local function deep() return 1 + deep() end
function tricks.deep() error(select(2, pcall(deep))) end -- out of memory, as hog, or of stack
function tricks.gsub()
  local function loop() while true do end end
  return ("x"):gsub("x", function() xpcall(loop, loop) end)
end
function tricks.close()
  local _ <close> = setmetatable({}, { __close = function() while true do end end })
end
function M.decode(frame) return { type = "trick", name = frame:match "%w+" } end
function M.on_message(conn, message)
  tricks[message.name]()
  conn:send "survived\n"
end
return M
]]

local TRICKS = { "loop", "pcall", "xpcall", "coroutine", "pattern", "rep", "move", "hog", "deep",
  "gsub", "close" }

describe("a hostile script", function()
  after_each(Host.cleanup)

  it("costs its own connection's work, and nobody else's", function()
    local folder = Host.folder() .. "/evil"
    uv.fs_mkdir(folder, tonumber("700", 8))
    Host.write(folder .. "/init.lua", SOURCE)
    local host = Host.start { config = {
      workers = 1, plugins = { { name = folder }, { name = "gt06" } },
      listeners = {
        { name = "evil", adapter = "evil", anonymous = true },
        { name = "gt06", adapter = "gt06", anonymous = true },
      },
    } }
    local tracker = Tracker.connect(host.ports.gt06, "860000000000001"):login()
    for _, trick in ipairs(TRICKS) do
      local conn = Host.connect(host.ports.evil)
      conn:send(trick .. "\n")
      tracker:beat()
      local line = host:log_line "evil 6%.6%.6: "
      assert.matches("init.lua:%d+", line, trick)
      assert.equal("", conn.data, trick)
      conn:close()
    end
    tracker:report(60):beat()
    assert.equal(200, (host:api("GET", "/api/v1/status")))
    host:stop()
  end)
end)
