-- SPDX-License-Identifier: Apache-2.0
-- Runs a plugin without a host: commands in, what it did out. spec/core/lua/door_test.c has
-- the commands.
local cjson = require "cjson"

local M = { program = (os.getenv "TG_BUILD" or "build/release") .. "/spec/core/lua/door_test" }

--- @param path string folder of the plugin, and behind a blank the adapter if not the first
--- @param commands string[]
--- @return table[] for each command the list of its events
function M.run(path, commands)
  local input, output = os.tmpname(), os.tmpname()
  local file = assert(io.open(input, "w"))
  file:write(table.concat(commands, "\n"), "\n")
  file:close()
  local ok, _, code = os.execute(("%s %s < %s > %s"):format(M.program, path, input, output))
  local blocks, block = {}, {}
  for line in io.lines(output) do
    if line == "." then
      blocks[#blocks + 1], block = block, {}
    else
      block[#block + 1] = cjson.decode(line)
    end
  end
  os.remove(input)
  os.remove(output)
  assert(ok, "the offline runner ended with " .. tostring(code))
  assert(#blocks == #commands, "a command was not carried out")
  return blocks
end

--- The same command by command, for those that need what came before.
--- @return fun(command: string): table[] do_one events of one command
--- @return fun() stop
function M.start(path)
  local Process = require "support.process"
  local words = {}
  for word in path:gmatch "%S+" do words[#words + 1] = word end
  local runner = Process.spawn(M.program, words)
  return function(command)
    runner:write(command .. "\n")
    local events = {}
    while true do
      local line = runner:line ""
      if line == "." then return events end
      events[#events + 1] = cjson.decode(line)
    end
  end, function() assert(runner:wait() == 0, "the offline runner failed") end
end

--- The events of one kind, in order.
function M.of(events, kind)
  local out = {}
  for _, e in ipairs(events) do
    if e.event == kind then out[#out + 1] = e end
  end
  return out
end

return M
