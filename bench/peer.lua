-- SPDX-License-Identifier: Apache-2.0
-- Another open server of JT/T 808 to compare with: a Go module that is fetched and built when
-- the comparison is asked for, runs in a temporary folder, and leaves nothing there. The module
-- is named with its version, because a proxy may have that and no list of versions.
local cjson = require "cjson"
local Host = require "support.host"

local M = {}

M.NAME = "jt808-server-go"
local MODULE = "github.com/fakeyanss/jt808-server-go@v0.3.2"
local MINUTES = 10 * 60000 -- for what it needs from the net

-- It listens on all three; its log would cost it more than the terminals do.
local CONFIG = [[
log:
  consoleEnable: false
  fileEnable: false
  printAsJson: false
  logLevel: "ERROR"
server:
  name: "peer"
  port:
    tcpPort: "%d"
    udpPort: "%d"
    httpPort: "%d"
  banner:
    enable: false
]]

local function go(args, cwd)
  local ok, code, out, err = pcall(Host.run, "go", args, { ms = MINUTES, cwd = cwd })
  if not ok then return nil, "there is no Go: " .. tostring(code):gsub("\n.*", "") end
  if code ~= 0 then return nil, "go " .. args[1] .. ": " .. (err ~= "" and err or out) end
  return out
end

--- Fetches and builds it. @return its program, or nil and why not
local function build(folder)
  local out, why = go { "mod", "download", "-json", MODULE }
  if not out then return nil, why end
  local program = folder .. "/" .. M.NAME
  out, why = go({ "build", "-mod=mod", "-o", program, "." }, cjson.decode(out).Dir)
  if not out then return nil, why end
  return program
end

--- What `other` of run.lua starts: the command of OTHER with the port OTHER_PORT, or this one.
---@return string? command
---@return integer|string port, or why there is none
function M.command()
  local own = os.getenv "OTHER"
  if own then return own, assert(tonumber(os.getenv "OTHER_PORT"), "OTHER_PORT") end
  local folder, port = Host.folder(), Host.free_port()
  local program, why = build(folder)
  if not program then return nil, why end
  local config = Host.write(folder .. "/peer.yaml",
    CONFIG:format(port, Host.free_port(), Host.free_port()))
  return program .. " -c " .. config, port
end

return M
