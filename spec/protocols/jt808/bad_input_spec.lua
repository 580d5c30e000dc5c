-- SPDX-License-Identifier: Apache-2.0
-- What attacks and broken terminals do, on sockets of the real host: bad frames in a row, other
-- protocols on the port, phones that are not theirs, numbers that two terminals have.
local Host = require "support.host"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local PHONE = "013800138000"

local function frame(id, body, o) return terminal.frame(id, body, o) end

local function answered(conn, n)
  Host.await(function()
    local _, flags = conn.data:gsub("~", "")
    return flags >= 2 * n
  end, n .. " frames")
  local frames = terminal.read(conn.data)
  conn.data = ""
  return frames
end

local function login(conn, serial)
  conn:send(frame(0x0102, "code", { serial = serial or 0 }))
  assert.equal(0, terminal.answer(answered(conn, 1)[1])[3])
end

local function gone(conn)
  Host.await(function() return conn.ended end, "the connection to end")
end

describe("a jt808 listener", function()
  local host

  local function start(limits, options)
    host = Host.start { config = {
      plugins = { mqtt = {}, jt808 = options or {} },
      listeners = { { name = "jt808", adapter = "jt808", anonymous = true, limits = limits } },
    } }
    return Host.connect(host.ports.jt808)
  end
  after_each(function()
    host:stop()
    Host.cleanup()
  end)

  it("ends a connection after so many bad frames in a row, not for single ones", function()
    local conn = start { bad_frames = 3 }
    login(conn)
    for serial = 1, 4 do
      conn:send(frame(0x0002, "", { serial = serial, bad = true })
        .. frame(0x0002, "", { serial = serial }))
    end
    assert.equal(4, #answered(conn, 4))
    for serial = 5, 7 do conn:send(frame(0x0002, "", { serial = serial, bad = true })) end
    gone(conn)
  end)

  it("gives a web browser up that says nothing of ours", function()
    local conn = start { first_frame = "500ms" }
    conn:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    gone(conn)
    assert.equal("", conn.data)
  end)

  it("gives noise without end up, and goes on with noise between frames", function()
    local conn = start { junk = "2KiB" }
    conn:send("\0\1noise" .. frame(0x0102, "code", { serial = 0 }) .. "more~~~" ..
      frame(0x0002, "", { serial = 1 }))
    assert.equal(2, #answered(conn, 2))
    conn:send(("x"):rep(3000))
    gone(conn)
  end)

  it("lets nobody end a terminal's link by its number alone", function()
    local first = start({}, { auth = "strict", codes = { [PHONE] = "code" } })
    login(first)
    local thief = Host.connect(host.ports.jt808)
    thief:send(frame(0x0200, terminal.POSITION, { serial = 0 }))
    assert.equal(1, terminal.answer(answered(thief, 1)[1])[3])
    thief:send(frame(0x0102, "guess", { serial = 1 }))
    gone(thief)
    first:send(frame(0x0002, "", { serial = 1 }))
    assert.equal(0, terminal.answer(answered(first, 1)[1])[3])
    local second = Host.connect(host.ports.jt808)
    login(second)
    gone(first)
  end)

  it("hears no other phone on a terminal's link", function()
    local conn = start {}
    login(conn)
    conn:send(frame(0x0102, "code", { serial = 1, phone = "013800138001" })
      .. frame(0x0002, "", { serial = 2 }))
    assert.same({ 2, 0x0002, 0 },
      { table.unpack(terminal.answer(answered(conn, 1)[1]), 1, 3) })
  end)

  it("lets two terminals with one number fight only so often", function()
    local conn = start({}, { logins_per_minute = 3 })
    local refused = 0
    for n = 1, 5 do
      conn = n == 1 and conn or Host.connect(host.ports.jt808)
      conn:send(frame(0x0102, "code", { serial = 0 }))
      refused = refused + terminal.answer(answered(conn, 1)[1])[3]
    end
    assert.equal(2, refused)
  end)
end)
