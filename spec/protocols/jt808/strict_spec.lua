-- SPDX-License-Identifier: Apache-2.0
-- auth = "strict" takes codes that were issued here, also after the host was killed: a store on
-- disk has them.
local Host = require "support.host"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local REGISTER = string.pack(">I2I2c5c20c7B", 31, 100, "MAKER", "model", "0000001", 2) .. "PLATE1"

describe("strict authentication", function()
  after_each(Host.cleanup)

  local function start(store)
    return Host.start { config = {
      store = { plugin = "lmdb", path = store },
      plugins = { jt808 = { auth = "strict" } },
      listeners = { { name = "jt808", adapter = "jt808", anonymous = true } },
    } }
  end

  local function ask(host, id, body)
    local conn = Host.connect(host.ports.jt808)
    conn:send(terminal.frame(id, body))
    Host.await(function() return select(2, conn.data:gsub("~", "")) >= 2 end, "an answer")
    local answer = terminal.read(conn.data)[1]
    conn:close()
    return answer
  end

  it("knows the codes that it issued after kill -9, and no others", function()
    local store = Host.folder() .. "/store"
    local host = start(store)
    local registered = ask(host, 0x0100, REGISTER)
    assert.equal(0x8100, registered.id)
    local code = registered.body:sub(4)
    assert.equal(16, #code)
    host.process:kill "sigkill"
    host.process:wait()

    host = start(store)
    assert.equal(1, terminal.answer(ask(host, 0x0102, "another code"))[3])
    assert.equal(0, terminal.answer(ask(host, 0x0102, code))[3])
    host:stop()
  end)
end)
