-- SPDX-License-Identifier: Apache-2.0
-- Hostile scripts in a running host: each is ended, named in the log and counted, and devices
-- of other adapters and of the same one are served on.
local Host = require "support.host"
local uv = require "luv"

local SOURCE = [[
local tg = require "tidegate"
local M = tg.adapter { id = "evil", version = "6.6.6", api = 1, frame = { kind = "line" } }
local function loop() while true do end end
local deeds = {}
function deeds.loop() loop() end
function deeds.pcall() while true do pcall(loop) end end
function deeds.xpcall() xpcall(error, loop) end
function deeds.gsub() ("x"):gsub("x", function() while true do xpcall(loop, loop) end end) end
function deeds.coroutine() while true do pcall(coroutine.wrap(loop)) end end
function deeds.close() local x <close> = setmetatable({}, { __close = loop }) end
function deeds.pattern() ("a"):rep(30):find(("a?"):rep(30) .. ("a"):rep(30) .. "b") end
function deeds.move() table.move({}, 1, math.maxinteger - 1, 2) end
function deeds.sort() table.sort({ 3, 2, 1 }, loop) end
function deeds.hog() local t = {} while true do pcall(function() t[#t + 1] = { t } end) end end
function deeds.rep() while true do pcall(string.rep, "x", 1 << 40) end end
function deeds.deep() local function f() return 1 + f() end while true do pcall(f) end end
function M.decode(frame)
  local word = frame:match "^%w+"
  if word == "decode" then loop() end
  return { type = word, data = {} }
end
function M.on_message(conn, message)
  if deeds[message.type] then deeds[message.type]() end
  conn:send(message.type .. "\n")
end
return M
]]

local DEEDS = { "loop", "pcall", "xpcall", "gsub", "coroutine", "close", "pattern", "move",
  "sort", "hog", "rep", "deep", "decode" }

describe("hostile scripts", function()
  local folder

  before_each(function()
    folder = Host.folder() .. "/evil"
    uv.fs_mkdir(folder, tonumber("700", 8))
    Host.write(folder .. "/init.lua", SOURCE)
  end)

  after_each(function()
    uv.fs_unlink(folder .. "/init.lua")
    uv.fs_rmdir(folder)
    Host.cleanup()
  end)

  local function start()
    return Host.start { config = {
      workers = 1,
      plugins = { { name = folder } },
      listeners = { { name = "evil", adapter = "evil", anonymous = true } },
    } }
  end

  it("are ended and named, and their device is served on", function()
    local host = start()
    for _, deed in ipairs(DEEDS) do
      local device = Host.connect(host.ports.evil)
      device:send(deed .. "\nstill\n"):expect("still\n")
      device:close()
    end
    assert.are.equal(#DEEDS, host:metric "tidegate_evil_script_over_budget_total")
    assert.is_truthy(host:log_line "evil 6.6.6: on_message: evil/init.lua:%d+: on_message ran over")
    assert.is_truthy(host:log_line "evil 6.6.6 is unhealthy")
    host:stop()
  end)

  it("do not load: the host says where, and goes on without them", function()
    Host.write(folder .. "/init.lua", "local x = 1\nwhile true do pcall(error) end\n")
    local host = Host.start { config = { plugins = { mqtt = {}, [folder] = {} }, listeners = {
      { name = "mqtt", adapter = "mqtt", anonymous = true } } } }
    assert.is_truthy(host:log_line "evil/init.lua:2: load ran over its budget of 500 ms")
    assert.are.equal(0, host:metric "tidegate_lua_states")
    host:stop()
  end)
end)
