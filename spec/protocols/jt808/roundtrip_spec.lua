-- SPDX-License-Identifier: Apache-2.0
-- What decode gives goes back to the same bytes, for every valid frame of the vectors in both
-- directions: a plugin made of the adapter's own files sends each message through encode again.
-- What a sender is free in is written here, once: the order of extra items and parameters, and
-- where the padding of a text stands.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"
local vectors = dofile "spec/protocols/jt808/vectors.lua"

local PER_STATE = 60

local INIT = [[
local tg = require "tidegate"
local decode, encode = require "decode", require "encode"
local M = tg.adapter {
  id = "again", api = 1, config = require "options",
  frame = { kind = "escaped", magic = "~", escape = "}", escapes = { { "\1", "}" }, { "\2", "~" } },
    min = 15, max = 2100, lenient = true, check = "xor8" },
}
M.decode = decode.decode
function M.on_message(_, message)
  local bytes, why = encode.encode(message, { config = M.config })
  tg.publish { topic = "again", payload = bytes and tg.hex.encode(bytes) or tostring(why) }
end
return M
]]

-- Padding: in front instead of behind, or none where a text goes to the end: bytes fewer.
local PADDED = {
  ["jt808-0100-fe16fbd70e"] = 0, ["jt808-0100-d2e3394e14"] = 0,
  ["jt808-0702-5dc8f73a61"] = 0, ["jt808-8400-853842d04b"] = 7,
  ["jt808-8400-42a220063e"] = 7, ["jt808-8400-8f7ede7b02"] = 7,
}
-- In a vendor's dialect an item that is hex otherwise is a padded text.
local PADDED_TEXT = { ["jt808-0200-2aced8d2a9"] = 26 }

local function unescaped(hex)
  local bytes = terminal.unhex(hex):sub(2, -2)
  return (bytes:gsub("}([\1\2])", { ["\1"] = "}", ["\2"] = "~" }))
end

--- The list inside of a vendor's item 0xEB: a word of length and so many bytes.
local function nested(item)
  if item:byte() ~= 0xEB then return item end
  local parts, at = {}, 3
  while at + 1 <= #item do
    local stop = at + 1 + string.unpack(">I2", item, at)
    if stop > #item then return item end
    parts[#parts + 1] = item:sub(at, stop)
    at = stop + 1
  end
  table.sort(parts)
  return item:sub(1, 2) .. table.concat(parts) .. item:sub(at)
end

--- Items of tag, length, value with `head` bytes before the value, in one order.
local function sorted(bytes, tag)
  local items, at = {}, 1
  while at + tag <= #bytes do
    local stop = at + tag + bytes:byte(at + tag)
    if stop > #bytes then break end
    items[#items + 1] = nested(bytes:sub(at, stop))
    at = stop + 1
  end
  table.sort(items)
  return table.concat(items) .. bytes:sub(at)
end

local function position(bytes) return bytes:sub(1, 28) .. sorted(bytes:sub(29), 1) end

local function batch(bytes)
  local out, at = { bytes:sub(1, 3) }, 4
  while at + 1 <= #bytes do
    local n = string.unpack(">I2", bytes, at)
    out[#out + 1] = bytes:sub(at, at + 1) .. position(bytes:sub(at + 2, at + 1 + n))
    at = at + 2 + n
  end
  return table.concat(out)
end

local FREE_ORDER = {
  [0x0200] = position,
  [0x0201] = function(b) return b:sub(1, 2) .. position(b:sub(3)) end,
  [0x0500] = function(b) return b:sub(1, 2) .. position(b:sub(3)) end,
  [0x0704] = batch,
  [0x0104] = function(b) return b:sub(1, 3) .. sorted(b:sub(4), 4) end,
  [0x8103] = function(b) return b:sub(1, 1) .. sorted(b:sub(2), 4) end,
}

--- Header, body in one order, checksum (which order does not change).
local function canonical(bytes)
  local id, attributes = string.unpack(">I2I2", bytes)
  local order = FREE_ORDER[id]
  if not order then return bytes end
  local head = #bytes - 1 - (attributes & 0x3FF)
  return bytes:sub(1, head) .. order(bytes:sub(head + 1, -2)) .. bytes:sub(-1)
end

--- The host's module as the adapter sees it, except that nothing is compiled after the load.
local WATCHED = [[
local tg = require "tidegate"
local out, loading = {}, true
for name, value in pairs(tg) do out[name] = value end
function out.struct(text)
  if not loading then error("a layout is compiled late: " .. text:sub(1, 40)) end
  return tg.struct(text)
end
function out.loaded() loading = false end
return out
]]

describe("jt808 decode and encode", function()
  local folder

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir -p %s/again && cp protocols/jt808/*.lua %s/again"):format(folder,
      folder)))
    local file = assert(io.open(folder .. "/again/init.lua", "w"))
    file:write(INIT)
    file:close()
  end)
  teardown(function() os.execute("rm -rf " .. folder) end)

  it("find all layouts ready that the options name", function()
    local own = folder .. "/watched"
    assert(os.execute(("mkdir %s && cp protocols/jt808/*.lua %s && sed -i"
      .. " 's/require \"tidegate\"/require \"watched\"/' %s/*.lua"):format(own, own, own)))
    local file = assert(io.open(own .. "/watched.lua", "w"))
    file:write(WATCHED)
    file:close()
    file = assert(io.open(own .. "/init.lua"))
    local init = file:read "a"
    file:close()
    file = assert(io.open(own .. "/init.lua", "w"))
    file:write((init:gsub("return M%s*$", "tg.loaded()\nreturn M\n")))
    file:close()
    local login = "feed 1 " .. terminal.hex(terminal.frame(0x0102, "code", { serial = 1 }))
    local north = "feed 1 " .. terminal.hex(terminal.frame(0x0200, terminal.POSITION
      .. "\xEB\2\1\2", { serial = 2 }))
    local south = "feed 1 " .. terminal.hex(terminal.frame(0x0200, "\0\0\0\0\0\0\0\15"
      .. terminal.POSITION:sub(9) .. "\xEB\2\1\2", { serial = 3 }))
    for _, config in ipairs { "{}", '{"vendor":"obd"}', '{"payload":"emqx","vendor":"lock"}',
      '{"vendors":{"013800138000":"list_eb","013800138001":"tpms"}}' } do
      local blocks = offline.run(own, { "open " .. config,
        "connect 192.0.2.1:5000", login, north, south })
      for i = 3, 5 do
        assert.same({}, offline.of(blocks[i], "log"))
        assert.equal(1, #offline.of(blocks[i], "publish"), config)
      end
    end
  end)

  local function again(some, config)
    local commands, where, out = {}, {}, {}
    for i, v in ipairs(some) do
      if i % PER_STATE == 1 then commands[#commands + 1] = "open " .. config end
      commands[#commands + 1] = "connect 192.0.2.1:5000"
      commands[#commands + 1] = ("feed %d %s"):format((i - 1) % PER_STATE + 1, v.hex)
      where[i] = #commands
    end
    local blocks = offline.run(folder .. "/again", commands)
    for i in ipairs(some) do
      local e = offline.of(blocks[where[i]], "publish")[1]
      out[i] = e and e.payload or cjson.encode(blocks[where[i]])
    end
    return out
  end

  local function check(vendor)
    local some = {}
    for _, v in ipairs(vectors.load "jt808.jsonl") do
      if v.kind == "valid" and (not vendor or v.msg == "0x0200") then some[#some + 1] = v end
    end
    assert.equal(vendor and 106 or 452, #some)
    local exact, free = 0, 0
    for i, got in ipairs(again(some, vendor and cjson.encode { vendor = vendor } or "{}")) do
      local v = some[i]
      local want = unescaped(v.hex)
      assert.matches("^%x+$", got, v.id)
      local bytes = terminal.unhex(got)
      if bytes == want then
        exact = exact + 1
      elseif PADDED[v.id] or vendor == "obd" and PADDED_TEXT[v.id] then
        assert.equal(#want - (PADDED[v.id] or PADDED_TEXT[v.id]), #bytes, v.id)
      else
        free = free + 1
        assert.equal(terminal.hex(canonical(want)), terminal.hex(canonical(bytes)), v.id)
      end
    end
    return exact, free
  end

  it("are each other's reverse for every valid frame", function()
    local exact, free = check()
    assert.is_true(exact >= 405, exact .. " are the same to the byte")
    assert.is_true(free <= 41, free .. " are in another order")
  end)

  it("are so in vendors' dialects, too", function()
    for _, vendor in ipairs { "gps51", "fuel_percent", "battery", "supply", "obd", "lock",
      "tpms", "tracker", "radio", "sensors", "cells_eb", "list_eb" } do
      check(vendor)
    end
  end)
end)
