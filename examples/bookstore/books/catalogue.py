"""What `manage.py seed` puts into an empty shop: classic authors and their works.

An author is (name, born, died, bio, books); a book is (title, first published, price, stock, description).
"""

AUTHORS = [
    ('Miguel de Cervantes', 1547, 1616, 'Spanish soldier, tax collector and novelist.', [
        ('Don Quixote', '1605', '14.50', 9,
         'A reader of too many romances saddles his horse and rides out to put the world right.'),
    ]),
    ('蒲松龄 (Pu Songling)', 1640, 1715, 'Chinese schoolteacher who collected tales of the strange all his life.', [
        ('聊斋志异 (Strange Tales from a Chinese Studio)', '1766', '16.00', 7,
         'Fox spirits, ghosts and scholars who meet them, in some five hundred short tales.'),
    ]),
    ('Jane Austen', 1775, 1817, 'English novelist of manners, money and marriage.', [
        ('Sense and Sensibility', '1811-10-30', '8.90', 12,
         'Two sisters, one prudent and one passionate, lose their home and find their way.'),
        ('Pride and Prejudice', '1813-01-28', '9.50', 25,
         'Elizabeth Bennet and Mr Darcy misjudge each other thoroughly before they learn better.'),
        ('Emma', '1815-12-23', '8.90', 11,
         'A clever young woman arranges the lives of her neighbours, and gets every match wrong.'),
        ('Persuasion', '1817-12-20', '7.90', 8,
         'Eight years after she was talked out of an engagement, Anne Elliot meets the captain again.'),
    ]),
    ('Mary Shelley', 1797, 1851, 'English novelist who began her most famous book at eighteen.', [
        ('Frankenstein', '1818-01-01', '8.50', 19,
         'A student makes a living being and runs away from it; it does not forget him.'),
        ('The Last Man', '1826', '11.20', 3,
         'In the last years of the twenty-first century a plague leaves one witness.'),
    ]),
    ('Victor Hugo', 1802, 1885, 'French poet, playwright and novelist, for two decades in exile.', [
        ('The Hunchback of Notre-Dame', '1831', '10.40', 6,
         'A bell-ringer, a dancer, a priest and a cathedral that outlives them.'),
        ('Les Misérables', '1862', '17.90', 10,
         'A stolen loaf of bread, a chase through half a lifetime, and a barricade in Paris.'),
    ]),
    ('Alexandre Dumas', 1802, 1870, 'French author of serials that people queued for.', [
        ('The Three Musketeers', '1844', '12.00', 14,
         'A young man from Gascony picks three duels on one day and wins three friends.'),
        ('The Count of Monte Cristo', '1846', '15.80', 13,
         'Fourteen years in a dungeon leave time to plan a very patient revenge.'),
    ]),
    ('Charles Dickens', 1812, 1870, 'English novelist, journalist and public reader of his own works.', [
        ('A Christmas Carol', '1843-12-19', '6.50', 30,
         'Three spirits have one night to change the mind of a miser.'),
        ('David Copperfield', '1850', '13.20', 5,
         'An orphan grows up to be a writer, among aunts, debtors and villains.'),
        ('Bleak House', '1853', '13.90', 4,
         'A suit in Chancery goes on for so long that nobody alive knows what it means.'),
        ('A Tale of Two Cities', '1859', '9.80', 16,
         'London and Paris in the years of the guillotine, and a debt paid in full.'),
        ('Great Expectations', '1861', '10.60', 0,
         'A blacksmith\'s boy comes into money and has to find out who sent it.'),
    ]),
    ('Charlotte Brontë', 1816, 1855, 'English novelist, first published as Currer Bell.', [
        ('Jane Eyre', '1847', '9.40', 18,
         'A governess of firm opinions takes a post in a house with a secret in the attic.'),
        ('Villette', '1853', '9.90', 2,
         'An Englishwoman alone in a foreign town teaches, watches and says less than she knows.'),
    ]),
    ('Emily Brontë', 1818, 1848, 'English poet who wrote a single novel, first published as Ellis Bell.', [
        ('Wuthering Heights', '1847', '8.80', 15,
         'Two houses on the moor, and a passion that ruins the families of both.'),
    ]),
    ('George Eliot', 1819, 1880, 'Pen name of Mary Ann Evans, English novelist, editor and translator.', [
        ('The Mill on the Floss', '1860', '9.60', 6,
         'A brother and a sister grow apart beside a river that has the last word.'),
        ('Silas Marner', '1861', '7.40', 9,
         'A weaver loses his gold and finds a child on his hearth.'),
        ('Middlemarch', '1871', '14.90', 7,
         'The hopes of a provincial town, and what becomes of them.'),
    ]),
    ('Herman Melville', 1819, 1891, 'American sailor, novelist and customs inspector.', [
        ('Typee', '1846', '8.20', 4,
         'Two sailors jump ship in the Marquesas and wonder what their hosts have in mind.'),
        ('Moby-Dick', '1851', '13.50', 17,
         'A captain, a white whale, and all that can be known about whaling in between.'),
    ]),
    ('Gustave Flaubert', 1821, 1880, 'French novelist who could spend a week on one page.', [
        ('Madame Bovary', '1857', '9.20', 11,
         'A doctor\'s wife in Normandy wants life to be as it is in novels.'),
    ]),
    ('Fyodor Dostoevsky', 1821, 1881, 'Russian novelist who came back from Siberia to write.', [
        ('Crime and Punishment', '1866', '12.40', 20,
         'A student proves to himself that he may kill, and cannot live with the proof.'),
        ('The Idiot', '1869', '12.80', 5,
         'A good man returns to Petersburg, which has no use for one.'),
        ('The Brothers Karamazov', '1880', '15.40', 8,
         'Three brothers, a murdered father, and the question who wished it.'),
    ]),
    ('Jules Verne', 1828, 1905, 'French writer of journeys nobody had made yet.', [
        ('Journey to the Centre of the Earth', '1864', '8.70', 13,
         'A professor, his nephew and a calm Icelander climb down a volcano.'),
        ('Twenty Thousand Leagues under the Sea', '1870', '9.90', 21,
         'Three guests who may not leave travel the oceans aboard the Nautilus.'),
        ('Around the World in Eighty Days', '1873', '8.30', 24,
         'A gentleman bets his fortune on the punctuality of trains and steamers.'),
    ]),
    ('Leo Tolstoy', 1828, 1910, 'Russian novelist, landowner and teacher.', [
        ('War and Peace', '1869', '18.50', 6,
         'Five families and an invasion; very long, and over too soon.'),
        ('Anna Karenina', '1878', '14.20', 9,
         'One marriage falls apart while another one is learnt.'),
    ]),
    ('Mark Twain', 1835, 1910, 'Pen name of Samuel Clemens, American river pilot, printer and humorist.', [
        ('The Adventures of Tom Sawyer', '1876', '7.80', 22,
         'How to get a fence painted, attend one\'s own funeral and find a treasure.'),
        ('Adventures of Huckleberry Finn', '1884', '8.60', 0,
         'A boy and a runaway slave share a raft down the Mississippi.'),
    ]),
    ('Émile Zola', 1840, 1902, 'French novelist and journalist.', [
        ('L\'Assommoir', '1877', '9.70', 3,
         'A laundress in Paris works her way up, and drink takes it all.'),
        ('Germinal', '1885', '10.90', 7,
         'A strike in the coal mines of the north of France.'),
    ]),
    ('Bram Stoker', 1847, 1912, 'Irish novelist and theatre manager.', [
        ('Dracula', '1897-05-26', '8.90', 26,
         'A solicitor\'s clerk travels to Transylvania about a house in London.'),
    ]),
    ('Robert Louis Stevenson', 1850, 1894, 'Scottish novelist and traveller who settled in Samoa.', [
        ('Treasure Island', '1883', '7.60', 23,
         'A map, a ship, a cook with one leg, and a boy in an apple barrel.'),
        ('Strange Case of Dr Jekyll and Mr Hyde', '1886', '6.80', 12,
         'A lawyer asks why his respectable friend protects such a man.'),
    ]),
]
