-- SPDX-License-Identifier: Apache-2.0
--
-- nvim --clean --headless -c 'luafile neovim.lua': Neovim's own client in front of `gantry lsp`, in the working folder of
-- tests/integration/lsp_editors.cpp. It prints why, and ends with 1, when anything is not as it should be.
local function waited(what, holds)
  if not vim.wait(90000, holds, 10) then error('waited in vain for ' .. what) end
end
local function text() return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n') end
local function has(what, wanted)
  if not what:find(wanted, 1, true) then error(('%s is not in: %s'):format(wanted, what)) end
end

local function main()
  vim.cmd('edit a.cpp')
  local exit
  local client_id = vim.lsp.start_client({
    cmd = { 'gantry', 'lsp' },
    root_dir = vim.fn.getcwd(),
    on_exit = function(code, signal) exit = { code, signal } end,
  })
  vim.lsp.buf_attach_client(0, client_id)
  local function ask(method, line, column, more)
    local params = vim.tbl_extend('force', {
      textDocument = vim.lsp.util.make_text_document_params(),
      position = { line = line, character = column },
    }, more or {})
    local answers = vim.lsp.buf_request_sync(0, method, params, 90000)
    local answer = answers and answers[client_id] or error('no answer to ' .. method)
    return answer.result, answer.err
  end
  local function diagnostics(wanted)
    waited('diagnostics', function()
      local now = vim.diagnostic.get(0)
      if wanted == nil then return #now == 0 end
      return #now == 1 and now[1].message:find(wanted, 1, true) ~= nil
    end)
  end

  diagnostics("undeclared identifier 'absent_value'")
  has(vim.inspect(ask('textDocument/hover', 2, 9)), 'Adds two numbers')
  assert(ask('textDocument/definition', 2, 9)[1].range.start.line == 1, 'the definition')
  assert(#ask('textDocument/references', 1, 5, { context = { includeDeclaration = true } }) == 3, 'three references')

  -- What nobody saves.
  vim.api.nvim_buf_set_lines(0, 4, 5, false, { '/// Only in Neovim.', 'int unsaved_name = 7;', 'int right = unsaved_name;' })
  diagnostics(nil)
  has(vim.inspect(ask('textDocument/hover', 6, 15)), 'Only in Neovim')
  local others = os.getenv('MEETS_IN') -- where each editor of several leaves its name, as soon as its text is not the disk's
  if others then
    vim.fn.writefile({}, others .. '/neovim')
    waited('the others', function() return #vim.fn.readdir(others) == tonumber(os.getenv('MEETS')) end)
    local servers = vim.fn.json_decode(vim.fn.system({ 'gantry', 'call', 'lsp.servers' })).servers
    servers = vim.tbl_filter(function(each) return each.pid ~= nil end, servers)
    assert(#servers == 1, 'one server for all, not ' .. vim.inspect(servers))
    has(vim.inspect(ask('textDocument/hover', 6, 15)), 'Only in Neovim')
  end
  has(vim.inspect(ask('textDocument/completion', 6, 20)), 'unsaved_name')

  vim.api.nvim_win_set_cursor(0, { 2, 5 })
  vim.lsp.buf.rename('plus')
  waited('the rename', function() return text():find('auto y = plus(3, 4);', 1, true) ~= nil end)
  has(text(), 'int plus(int a, int b)')
  has(text(), 'int x = plus(1, 2);')

  -- A tweak: a command, in which the server asks for the edit.
  vim.ui.select = function(items, _, choose)
    for _, item in ipairs(items) do
      if item[2].title:find('%a+ type$') then return choose(item) end
    end
    error('no such code action: ' .. vim.inspect(items))
  end
  vim.api.nvim_win_set_cursor(0, { 4, 1 })
  vim.lsp.buf.code_action()
  waited('the tweak', function() return text():find('\nint y = plus(3, 4);', 1, true) ~= nil end)

  if not others then
    local servers = vim.fn.json_decode(vim.fn.system({ 'gantry', 'call', 'lsp.servers' })).servers
    servers = vim.tbl_filter(function(each) return each.pid ~= nil end, servers)
    assert(#servers == 1, 'one server, not ' .. vim.inspect(servers))
    vim.loop.kill(servers[1].pid, 9)
    waited('an answer of the next server', function()
      local result = ask('textDocument/hover', 6, 15)
      return result ~= nil and vim.inspect(result):find('Only in Neovim', 1, true) ~= nil
    end)
    vim.api.nvim_buf_set_lines(0, 7, 7, false, { 'int again = another_absence;' })
    diagnostics("undeclared identifier 'another_absence'")
  end

  vim.lsp.get_client_by_id(client_id).stop()
  waited('its end', function() return exit end)
  assert(exit[1] == 0 and exit[2] == 0, 'gantry lsp ended with ' .. vim.inspect(exit))
end

local sound, why = xpcall(main, debug.traceback)
if not sound then io.stderr:write(why .. '\n') end
vim.cmd(sound and 'qall!' or 'cquit!')
