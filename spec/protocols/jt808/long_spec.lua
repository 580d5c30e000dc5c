-- SPDX-License-Identifier: Apache-2.0
-- Captured messages of several packets, and the edge cases of long messages and numbers.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"
local vectors = dofile "spec/protocols/jt808/vectors.lua"

local PATH = "protocols/jt808"

local function feed(hex) return "feed 1 " .. hex end

local function login(phone)
  local v2019 = #phone == 20
  local body = v2019 and "\4code" .. ("i"):rep(15) .. ("v"):rep(20) or "code"
  return feed(terminal.hex(terminal.frame(0x0102, body, { phone = phone, v2019 = v2019,
    serial = 65000 })))
end

--- All that is published while the packets come.
local function collect(v, path, order)
  local commands = { "open {}", "connect 192.0.2.1:5000", login(v.expect.phone) }
  for i = 1, #v.frames do commands[#commands + 1] = feed(v.frames[order and order(i) or i]) end
  local out = {}
  for i, events in ipairs(offline.run(path or PATH, commands)) do
    for _, p in ipairs(i > 3 and terminal.published(events) or {}) do out[#out + 1] = p end
  end
  return out
end

local function check(v, published)
  local body = v.expect.body
  if body.data and body.data.length then
    assert.equal("media_file", published[1][3]:match "/(media_file)/")
    body.data = nil
  end
  local record = published[#published][2]
  assert.same({}, vectors.differences(body, record), v.id)
end

describe("jt808 captured packets", function()
  local some = {}
  for _, v in ipairs(vectors.load "jt808.jsonl") do
    if v.kind == "fragments" then some[#some + 1] = v end
  end

  it("become the message that they are", function()
    assert.equal(5, #some)
    local complete = 0
    for _, v in ipairs(some) do
      if v.expect.complete then
        complete = complete + 1
        check(v, collect(v))
      else
        assert.equal(0, #collect(v), v.id)
      end
    end
    assert.is_true(complete >= 3)
  end)

  it("do so backwards, too", function()
    for _, v in ipairs(some) do
      if v.expect.complete then
        check(v, collect(v, nil, function(i) return #v.frames + 1 - i end))
      end
    end
  end)

  it("with wrong checksums do so where the listener takes them", function()
    for _, v in ipairs(some) do
      if v.expect.complete_if_checksum_off then
        local published = collect(v, PATH .. " jt808-unchecked")
        assert.equal(v.expect.body.data.length, published[2][2].size, v.id)
      end
    end
  end)
end)

describe("jt808 edge cases", function()
  local edges = {}
  for _, v in ipairs(vectors.load "jt808_edge.jsonl") do edges[v.name] = v end

  local function chunks(v)
    local commands = { "open {}", "connect 192.0.2.1:5000", login "013800138000" }
    for _, chunk in ipairs(v.chunks) do commands[#commands + 1] = feed(chunk) end
    return commands
  end

  it("fragments_in_order", function()
    local v = edges.fragments_in_order
    local blocks = offline.run(PATH, chunks(v))
    local published = terminal.published(blocks[#blocks])
    assert.equal(200, published[2][2].size)
    local want = v.expect.frames[1].body
    want.data = nil
    assert.same({}, vectors.differences(want, published[2][2]))
  end)

  it("fragment_missing", function()
    local v = edges.fragment_missing
    local commands = chunks(v)
    commands[#commands + 1] = "advance 10001"
    local blocks = offline.run(PATH, commands)
    local ask = terminal.sent(blocks[#blocks])[1]
    assert.equal(0x8003, ask.id)
    assert.equal(string.pack(">I2BI2", 10, 1, 2), ask.body)
  end)

  it("split_bad_checksum_then_good", function()
    local v = edges.split_bad_checksum_then_good
    local blocks, got = offline.run(PATH, chunks(v)), 0
    for i = 4, #blocks do got = got + #offline.of(blocks[i], "message") end
    assert.equal(#v.expect.frames, got)
  end)

  it("downlink_11_digit_phone: the device is known under its padded number", function()
    local commands = { "open {}", "connect 192.0.2.1:5000", login "13800138000",
      "deliver 013800138000 jt808/x/down 1 " .. cjson.encode { command = "query_parameters" } }
    local blocks = offline.run(PATH, commands)
    local sent = offline.of(blocks[4], "send")[1].hex
    assert.equal(edges.downlink_11_digit_phone.hex:lower(), sent)
  end)
end)
