-- SPDX-License-Identifier: Apache-2.0
-- A terminal's side of the protocol, written out by hand: what the adapter says is not read
-- with the adapter's own code.
local cjson = require "cjson"

local M = {}

function M.unhex(hex)
  return (hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

function M.hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function sum(bytes)
  local x = 0
  for i = 1, #bytes do x = x ~ bytes:byte(i) end
  return string.char(x)
end

--- One frame. o: phone (digits), serial, v2019, total, number, bad (a wrong checksum)
function M.frame(id, body, o)
  o = o or {}
  body = body or ""
  local attributes = #body | (o.total and 0x2000 or 0) | (o.v2019 and 0x4000 or 0)
  local digits = o.phone or "013800138000"
  local head = string.pack(">I2I2", id, attributes)
  if o.v2019 then
    head = head .. "\1" .. M.unhex(("0"):rep(20 - #digits) .. digits)
  else
    head = head .. M.unhex(("0"):rep(12 - #digits) .. digits)
  end
  head = head .. string.pack(">I2", o.serial or 0)
  if o.total then head = head .. string.pack(">I2I2", o.total, o.number) end
  local bytes = head .. body
  bytes = bytes .. (o.bad and "\0" or sum(bytes))
  bytes = bytes:gsub("[}~]", { ["}"] = "}\1", ["~"] = "}\2" })
  return "~" .. bytes .. "~"
end

--- The frames in a stream, read.
function M.read(bytes)
  local out = {}
  for raw in bytes:gmatch "~([^~]+)~" do
    local b = raw:gsub("}([\1\2])", { ["\1"] = "}", ["\2"] = "~" })
    assert(sum(b:sub(1, -2)) == b:sub(-1), "a checksum")
    local id, attributes = string.unpack(">I2I2", b)
    local v2019, split = attributes & 0x4000 ~= 0, attributes & 0x2000 ~= 0
    local at = v2019 and 16 or 11
    local f = { id = id, v2019 = v2019, serial = string.unpack(">I2", b, at) }
    f.phone = M.hex(b:sub(v2019 and 6 or 5, at - 1))
    if split then f.total, f.number = string.unpack(">I2I2", b, at + 2) end
    f.body = b:sub(at + 2 + (split and 4 or 0), -2)
    assert(#f.body == attributes & 0x3FF, "a length")
    out[#out + 1] = f
  end
  return out
end

--- What was sent in a block of events.
function M.sent(events)
  local out = {}
  for _, e in ipairs(events) do
    if e.event == "send" and e.hex then -- an empty one only waits
      for _, f in ipairs(M.read(M.unhex(e.hex))) do out[#out + 1] = f end
    end
  end
  return out
end

--- What was published: { type, payload }.
function M.published(events)
  local out = {}
  for _, e in ipairs(events) do
    if e.event == "publish" then
      local ok, value = pcall(cjson.decode, e.payload)
      out[#out + 1] = { e.topic:match "[^/]+$", ok and value or e.payload, e.topic }
    end
  end
  return out
end

--- reply serial, id and result of 0x8001
function M.answer(f)
  assert(f.id == 0x8001, ("0x%04x is no general answer"):format(f.id))
  return { string.unpack(">I2I2B", f.body) }
end

M.POSITION = M.unhex "000000000000000301dc8830073d7c30000a0258005a260807181000"

return M
