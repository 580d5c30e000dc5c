-- SPDX-License-Identifier: Apache-2.0
-- What a sanitizer finds fails the test, whatever becomes of the process in which it was found.
local uv = require "luv"
local Host = require "support.host"

local REPORTS = {
  "WARNING: ThreadSanitizer: data race (pid=1)",
  "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
  "==1==ERROR: LeakSanitizer: detected memory leaks",
  "x.c:1:2: runtime error: signed integer overflow",
}

local function say(text, ending)
  return Host.spawn("sh", { "-c", ('echo "%s" >&2; %s'):format(text, ending) })
end

local function assert_fails_with(text)
  local fine, err = pcall(Host.cleanup)
  assert.is_false(fine)
  assert.truthy(err:find(text, 1, true), err)
end

describe("a command that cannot be started", function()
  it("is an error that names it, and leaves nothing behind", function()
    local fine, err = pcall(Host.spawn, "/none/such", {})
    assert.is_false(fine)
    assert.matches("cannot start /none/such: ENOENT", err)
    Host.cleanup()
  end)
end)

describe("a sanitizer's report", function()
  after_each(function() pcall(Host.cleanup) end)

  for _, text in ipairs(REPORTS) do
    it(("fails the test of a process that goes on: %s"):format(text), function()
      local child = say(text, "exec sleep 60")
      Host.await(function() return child.err[1] end, "the report")
      assert_fails_with(text)
      Host.cleanup()
    end)
  end

  it("fails the test of a process that is killed, or that is expected to fail", function()
    for _, ending in ipairs { "kill -9 $$", "exit 66", "exit 0" } do
      say(REPORTS[1], ending):wait()
      assert_fails_with(REPORTS[1])
    end
    say("all is well", "exit 66"):wait()
    Host.cleanup()
  end)
end)

-- Of a long log the end is kept: what failed, why, and what its processes said stands there.
describe("the end of a run", function()
  after_each(Host.cleanup)

  local function run(source)
    local path = Host.write(Host.folder() .. "/any_spec.lua", source)
    local code, out = Host.run("lua5.4", { "spec/run.lua", Host.build, path })
    assert.equal(1, code)
    return out:match "%-%-%-%- .*" or out, path
  end

  it("has the name of what failed, its place, its words, and the last words of its processes",
    function()
    local text, path = run [[
      local Host = require "support.host"
      describe("a spec", function()
        after_each(Host.cleanup)
        it("goes well", function() end)
        it("fails", function()
          Host.run("sh", { "-c", "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3" })
          error("what it\nwanted " .. ("x"):rep(9000) .. " what came")
        end)
      end)]]
    assert.truthy(#text < 3000)
    local head = ("---- a spec fails (%s)\n%s:7\n"):format(Host.build, path)
    assert.equal(head, text:sub(1, #head))
    assert.matches("what it\nwanted x+\n  %[%.%.%.%]\nx+ what came\n", text)
    assert.matches("sh %-c %(ended with code 3, signal 0%):\n  line 3\n.*\n  line 7\n", text)
    assert.matches("\nfailed: a spec fails %([^\n]+%)\n1 passed, 1 failed\n$", text)
  end)

  it("has the name of the test in which the specs came to theirs", function()
    local text = run [[
      it("goes well", function() end)
      it("crashes", function() os.execute "kill -9 $PPID" end)]]
    assert.matches("failed: crashes %([^\n]+%): the specs ended before their last test "
      .. "%(%w+ %d+%)\n1 passed, 1 failed\n$", text)
  end)
end)

describe("a peer that is gone", function()
  after_each(Host.cleanup)

  it("does not take the specs along when they write to it", function()
    local port, server, gone = Host.free_port(), uv.new_tcp(), false
    assert(server:bind("127.0.0.1", port))
    server:listen(1, function()
      local conn = uv.new_tcp()
      server:accept(conn)
      conn:read_start(function()
        if not conn:is_closing() then conn:close_reset(function() gone = true end) end
      end)
    end)
    local conn, failures = Host.connect(port), {}
    conn:pause() -- else it is told before it writes
    conn:send "x"
    Host.await(function() return gone end, "the end of its peer")
    for _ = 1, 2 do
      conn.handle:write("x", function(err) failures[#failures + 1] = err end)
      uv.run "nowait"
    end
    Host.await(function() return #failures == 2 end, "the errors")
    assert.equal("EPIPE", failures[2])
    server:close()
  end)
end)
