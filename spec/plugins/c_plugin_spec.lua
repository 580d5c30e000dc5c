-- SPDX-License-Identifier: Apache-2.0
-- The manual's plugin, built and used as it is typed there, and the sample, called from a script.
local Host = require "support.host"

local HELLO = [[
local tg = require "tidegate"
local ask = tg.driver "ask"
local M = tg.adapter {
  id = "caller", version = "1.0.0", api = 1, transports = { "tcp" },
  frame = { kind = "line", max = 512 },
}
function M.decode(f) return { type = "telemetry", data = { line = f } } end
function M.encode(m) return m.line .. "\n" end
function M.on_message(conn, msg)
  local method, text = msg.data.line:match "^(%S+) (.*)$"
  local answer, err = ask[method](ask, text)
  conn:send { line = answer or err.code .. " " .. err.message }
end
return M
]]

local function manual()
  local text, found = Host.read "docs/c-plugin.md", {}
  for language, code in text:gmatch "```(%l+)\n(.-)```" do
    found[language] = found[language] or code
  end
  return found
end

describe("a plugin in C", function()
  after_each(Host.cleanup)

  it("is written as the manual says", function()
    local folder, page = Host.folder(), manual()
    Host.write(folder .. "/shout.c", page.c)
    local build = page.sh:gsub("core/include", require("luv").cwd() .. "/core/include")
    assert.equal(0, (Host.run("bash", { "-ec", "cd " .. folder .. "\n" .. build })))
    local config = page.lua
      :gsub("my%-plugins:build/release", folder .. "/my-plugins:" .. Host.build)
      :gsub("127.0.0.1:%d+", function() return "127.0.0.1:" .. Host.free_port() end)
      :gsub("^return {", ("return { state_dir = %q, admin = { bind = %q },"):format(
        folder .. "/state", "127.0.0.1:" .. Host.free_port()))
    local host = Host.start { config = config }
    local watch = host:cli_spawn("subscribe", "shout/#")
    watch:err_line "subscribed"
    local device = Host.connect(host.ports.shout)
    device:send "hello bob\n"
    device:expect "welcome\n"
    device:send "good morning\n"
    assert.matches("good morning", watch:line "good morning")
    assert.equal(0, (host:cli("publish", "shout/bob/down", "good morning yourself")))
    device:expect "good morning yourself\n"
    assert.equal(0, (host:cli("reload", "shout")))
    device:send "still here\n"
    assert.matches("still here", watch:line "still here")
    watch:kill "sigterm"
    watch:wait()
    device:close()
    host:stop()
  end)

  it("is waited for by a script: a connection, a file, and what goes wrong", function()
    local folder, port = Host.folder(), Host.free_port()
    Host.write(folder .. "/caller.lua", HELLO)
    Host.write(folder .. "/text", "what the file holds")
    local host = Host.start { config = {
      plugins = {
        { name = Host.build .. "/plugins/ask.so", options = { port = port } },
        { name = folder .. "/caller.lua" },
      },
      listeners = {
        { name = "ask", adapter = "ask", bind = "127.0.0.1:" .. port },
        { name = "caller", adapter = "caller" },
      },
    } }
    local device = Host.connect(host.ports.caller)
    device:send "ask hello\n"
    device:expect "hello\n"
    device:send("read " .. folder .. "/text\n")
    device:expect "what the file holds\n"
    device:send "read /nonexistent\n"
    device:expect "NOTFOUND not found\n"
    device:send "sing x\n"
    assert.matches("^UNSUPPORTED", device:read_to "\n")
    device:close()
    host:stop()
  end)
end)
