-- SPDX-License-Identifier: Apache-2.0
-- What a message down asks for, in either of its shapes, and until when: read before anything is
-- done, and for a terminal that is away as well, so it needs no connection.
local tg = require "tidegate"
local emqx = require "emqx"
local registry = require "registry"

local M = { ids = {} }

for id, entry in pairs(registry) do
  if type(id) == "number" and entry.dir == "down" then M.ids[entry.name] = id end
end

local function wrong(message) return { code = "INVAL", message = message } end

--- Of the command `send`. @return integer? nil: it can be none
function M.message_id(args)
  local id = math.tointeger(tonumber(args.id))
  return id and id >= 0 and id <= 0xFFFF and id or nil
end

local function named(request)
  local args, name, ttl = request.args or {}, request.command, request.ttl
  if type(args) ~= "table" then return nil, "'args' must be an object" end
  if name == nil then return nil, "'command' is missing" end
  if ttl ~= nil and not tonumber(ttl) then return nil, "'ttl' must be a number of seconds" end
  if name == "send" then
    local id = M.message_id(args)
    if not id then return nil, "no such message id" end
    return { id = id, name = "send", args = { data = args.data } }
  end
  local id = M.ids[name]
  if not id then return nil, "no such command: " .. tostring(name) end
  return { id = id, name = name, args = args }
end

local function shaped(request)
  local id, args = emqx.down(request)
  if not id then return nil, args end
  return { id = id, name = registry.entry(id).name, args = args }
end

--- {"command": …, "args": …, "id": …, "ttl": …}, or {"header": {"msg_id": …}, "body": …}
--- @return any request as it came
--- @return table? what id, name and args of the command
--- @return tg.Error? why not
function M.read(msg)
  local request, err = msg:json()
  if type(request) ~= "table" then
    return nil, nil, err or wrong "a message down must be an object"
  end
  local read = type(request.header) == "table" and shaped or named
  local what, why = read(request)
  return request, what, not what and wrong(why) or nil
end

--- When a message is of no use any more: after its `ttl`, or at the end of the message's life.
function M.deadline(msg, request)
  local ttl = tonumber(request.ttl)
  local own = ttl and ttl < 1e9 and msg.time + ttl * 1000 or nil
  local ends = msg.expiry > 0 and tg.time.now() + msg.expiry * 1000 or nil
  return own and ends and math.min(own, ends) or own or ends
end

return M
